"""Who calls: the credential of a call, looked up in the policy in force.

A credential in the metadata decides; without one, the client's certificate; without that the caller is anonymous. One
that is there and does not hold is refused: it never makes the caller anonymous. Where the policy names no credential
at all, those that clients send are not looked at: they may be meant for the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vecguard.access.certificates import principal_of
from vecguard.access.headers import Secret, read_secret
from vecguard.access.passwords import PasswordChecks
from vecguard.access.tokens import Tokens
from vecguard.errors import Unauthenticated
from vecguard.model import ANONYMOUS, UNKNOWN_PEER, Peer, Principal, PrincipalKind
from vecguard.policy.access import Access, Account, ApiKey, literal_values
from vecguard.policy.credentials import key_digest, sha256
from vecguard.policy.model import Policy

_UNKNOWN: Final = "the credential is not known here"


class Identifier:
    """Finds out who calls. One a process: it keeps issuers' keys and passwords that were checked."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        """`policy` gives the rules in force."""
        self._policy = policy
        self._passwords = PasswordChecks()
        self._tokens = Tokens()
        self._keys: tuple[Access | None, dict[bytes, tuple[ApiKey, Principal]]] = (None, {})

    async def __call__(self, metadata: Mapping[str, str], peer: Peer = UNKNOWN_PEER) -> Principal:
        """The principal.

        Raises:
            Unauthenticated: the credential is not valid, or there is none and nobody may do anything without.
            Unavailable: it cannot be checked now.
        """
        access = self._policy().access
        if not access.authenticates:
            return ANONYMOUS
        secret = read_secret(metadata, peer.repeated)
        if secret is not None:
            return await self._by_secret(secret, access)
        if peer.certificate is not None:
            known = principal_of(peer.certificate, access)
            if known is not None:
                return known
        if not access.anonymous:
            raise Unauthenticated("a credential is needed: none was sent")
        return ANONYMOUS

    async def _by_secret(self, secret: Secret, access: Access) -> Principal:
        if secret.is_jwt and access.jwt:
            return await self._tokens.principal(secret.text, access.jwt)
        holder = self._key_holder(secret, access)
        if holder is not None:
            return holder
        if secret.user is not None and access.accounts:
            account = next((account for account in access.accounts if account.name == secret.user), None)
            if await self._passwords.fits(secret.text, None if account is None else account.hash) and account:
                return _principal(account)
        raise Unauthenticated(_UNKNOWN)

    def _key_holder(self, secret: Secret, access: Access) -> Principal | None:
        """Whose API key this is. What is compared is a digest: how long it takes tells nothing of a key."""
        if self._keys[0] is not access:
            self._keys = (access, {key_digest(key.hash): (key, _principal(key)) for key in access.api_keys})
        key, holder = self._keys[1].get(sha256(secret.text), (None, None))
        return holder if key is not None and secret.user in (None, key.name) else None


def _principal(entry: ApiKey | Account) -> Principal:
    kind: PrincipalKind = "api-key" if isinstance(entry, ApiKey) else "password"
    attributes = {name: literal_values(value) for name, value in entry.attributes.items()}
    return Principal(entry.name, frozenset(entry.roles), kind, attributes)
