"""Wrapping of data keys by a service or device that holds the KEK: what all such providers share.

docs/formats.md §1 has the wrapped form. The provider's own cipher authenticates the context where it can; it is bound
within what is encrypted as well, so that nothing depends on a server that overlooks the field.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

import structlog

from vecguard.errors import Unavailable, Unreadable, VecGuardError
from vecguard.keys.deadline import Deadline
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.hidden import Unpicklable
from vecguard.keys.key import KEY_BYTES, Key

FORMAT_VERSION: Final = 2
DEADLINE_S: Final = 10.0
CONNECT_S: Final = 3.0
READ_S: Final = 5.0
ENCLOSED_BYTES: Final = KEY_BYTES + 32
_DOMAIN: Final = b"vecguard.wrap"
_HEADER_BYTES: Final = 2
_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
_log = structlog.get_logger("vecguard.keys")

UNREACHABLE: Final = "the key provider cannot be reached"
DENIED: Final = "the key provider does not let VecGuard use the key: check its credentials and permissions"
NO_KEY: Final = "the key provider does not know the key that the settings name"
DISABLED: Final = "the key at the key provider is disabled, deleted or retired"
FAILED: Final = "the key provider failed"


class RemoteWrapping(Unpicklable, ABC):
    """A `KeyProvider` whose KEK is elsewhere.

    A subclass encrypts and decrypts 64 bytes with associated data, and says what its client library's exceptions mean.
    """

    provider: ClassVar[int]
    """Number of the provider in the wrapped form."""
    kind: ClassVar[str]
    """Name of the provider in `KEY_PROVIDERS`."""

    def __init__(self, key_id: str, deadline: float = DEADLINE_S) -> None:
        """`key_id` names the KEK; `deadline` bounds each request, in seconds, whatever the client library does."""
        self._key_id = key_id
        self._deadline = Deadline(deadline)
        self._header = bytes((FORMAT_VERSION, self.provider))

    @property
    def key_id(self) -> str:
        """The KEK's name at the provider."""
        return self._key_id

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """Encrypt `data_key`, bound to `context`; given back only once the provider has opened it again.

        So nothing is ever sealed with a key that this provider, with these permissions, would not unwrap.

        Raises:
            Unavailable: see `KeyProvider`.
        """
        aad = self._aad(context)
        box = self._ask("wrap", lambda: self._encrypt(data_key.expose() + _binding(aad), aad))
        wrapped = self._header + box
        try:
            whole = self.unwrap(wrapped, context) == data_key
        except Unreadable:
            whole = False
        if not whole:
            raise self._logged("wrap", Unavailable(FAILED), "gives back another key than it wrapped")
        return wrapped

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """Open what `wrap` returned.

        Raises:
            Unreadable, Unavailable: see `KeyProvider`.
        """
        if wrapped[:_HEADER_BYTES] != self._header:
            raise Unreadable
        aad = self._aad(context)
        box = wrapped[_HEADER_BYTES:]
        key = _enclosed(self._ask("unwrap", lambda: self._decrypt(box, aad)), aad)
        if key is None:  # decided where the plaintext is no local variable any more
            raise Unreadable
        return key

    @abstractmethod
    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        """What the provider makes of `plaintext` (64 bytes). May raise anything."""

    @abstractmethod
    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        """What `_encrypt` was given. May raise anything; Unreadable where the box is not well-formed."""

    @abstractmethod
    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        """What the client library's exception means, and the provider's code for it, for the log."""

    def _ask(self, operation: str, request: Callable[[], bytes]) -> bytes:
        outcome = self._deadline.run(request, lambda error: self._translated(error, operation))
        if outcome is None:
            raise self._logged(operation, Unavailable(UNREACHABLE), "no answer in time")
        if outcome.failure is not None:
            raise outcome.failure
        if not isinstance(outcome.value, bytes):
            raise self._logged(operation, Unavailable(FAILED), "no bytes")
        return outcome.value

    def _translated(self, error: Exception, operation: str) -> VecGuardError:
        if isinstance(error, VecGuardError):
            error.__traceback__ = error.__context__ = None  # their frames hold what was sent
            return self._logged(operation, error, "", type(error).__name__)
        try:
            failure, code = self._meaning(error, operation)
        except Exception:  # noqa: BLE001 - an exception of a library can be anything
            failure, code = Unavailable(FAILED), ""
        return self._logged(operation, failure, code, type(error).__name__)

    def _logged(self, operation: str, failure: VecGuardError, code: str, error: str = "") -> VecGuardError:
        """Tell the operator which provider said what: a code and a type, never the library's text."""
        if not isinstance(failure, Unreadable):
            reason = code if _CODE.fullmatch(code) or not error else ""
            _log.warning("key provider failed", provider=self.kind, operation=operation, code=reason, error=error)
        return failure

    def _aad(self, context: bytes) -> bytes:
        return length_prefixed(_DOMAIN, self._header, context)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id})"


def _binding(aad: bytes) -> bytes:
    return hashlib.sha256(aad).digest()


def _enclosed(plaintext: bytes, aad: bytes) -> Key | None:
    """The data key, if the plaintext was made for this associated data."""
    if len(plaintext) != ENCLOSED_BYTES or not hmac.compare_digest(plaintext[KEY_BYTES:], _binding(aad)):
        return None
    return Key(plaintext[:KEY_BYTES])


def quieten(*libraries: str) -> None:
    """Keep client libraries from logging what they send and receive, whatever level the root logger is set to.

    Their warnings go too, which quote exceptions: `RemoteWrapping` logs what an operator needs.
    """
    for library in libraries:
        logging.getLogger(library).setLevel(logging.CRITICAL)
        for name in list(logging.root.manager.loggerDict):
            if name.startswith(f"{library}."):
                logging.getLogger(name).setLevel(logging.NOTSET)
