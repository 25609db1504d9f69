"""Unwrapped data keys, kept for a time: what lets calls go on while the key provider is away, and bounds how long."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vecguard.errors import Unavailable
from vecguard.keys.hidden import Unpicklable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider

LEASE_S: Final = 3600.0
_MOST_KEYS: Final = 4096
_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Lent:
    key: Key
    since: float
    """The clock before the provider was asked."""


class LeasingProvider(Unpicklable):
    """A `KeyProvider` before another: a data key that it unwrapped is good for `lease` seconds, and no longer.

    In the second half of a lease the provider is asked again; if it is away, the old lease goes on to its end. So an
    outage of half a lease is never noticed, and what was revoked at the provider is unusable after one whole lease.
    """

    def __init__(
        self,
        provider: KeyProvider,
        lease: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`lease` in seconds of `clock`, which never goes back. `failed` is told when the provider did not serve."""
        self._provider = provider
        self._lease = lease
        self.clock = clock
        self._keys: OrderedDict[tuple[bytes, bytes], _Lent] = OrderedDict()
        self._lock = threading.Lock()
        self.failed = failed
        self._away_until = -math.inf
        self._away_because = ""

    @property
    def key_id(self) -> str:
        """The other provider's."""
        return self._provider.key_id

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """As the other provider does; what was wrapped is leased as if it were unwrapped.

        Raises:
            Unavailable: see `KeyProvider`.
        """
        since = self._asking()
        try:
            wrapped = self._provider.wrap(data_key, context)
        except Unavailable as failure:
            self._away(failure)
            raise
        self._keep(wrapped, context, data_key, since)
        return wrapped

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """The data key, leased or fresh; a `Key` of the caller's own.

        Raises:
            Unreadable, Unavailable: see `KeyProvider`.
        """
        return self._unwrap(wrapped, context)[0]

    def recording(self) -> Recording:
        """The same provider, for one collection, which remembers until when the keys that it gave are good."""
        return Recording(self)

    def _unwrap(self, wrapped: bytes, context: bytes) -> tuple[Key, float]:
        """The key, and when its lease began."""
        lent = self._lent(wrapped, context)
        if lent is not None and self.clock() - lent[1] < self._lease / 2:
            return lent
        try:
            return self._fresh(wrapped, context)
        except Unavailable:
            if lent is None:
                raise
            return lent

    def _fresh(self, wrapped: bytes, context: bytes) -> tuple[Key, float]:
        since = self._asking()
        try:
            key = self._provider.unwrap(wrapped, context)
        except Unavailable as failure:
            self._away(failure)
            raise
        self._keep(wrapped, context, key, since)
        return key, since

    def _asking(self) -> float:
        """Now, if the provider may be asked: calls must not queue up, each to wait for the same silence."""
        now = self.clock()
        if now < self._away_until:
            raise Unavailable(self._away_because)
        return now

    def _away(self, failure: Unavailable) -> None:
        self._away_because = str(failure)
        self._away_until = self.clock() + _PAUSE_S
        self.failed()

    def _lent(self, wrapped: bytes, context: bytes) -> tuple[Key, float] | None:
        with self._lock:
            self._drop_ended()
            lent = self._keys.get((wrapped, context))
            if lent is None or lent.since <= self.clock() - self._lease:
                return None
            return Key(lent.key.expose()), lent.since

    def _keep(self, wrapped: bytes, context: bytes, key: Key, since: float) -> None:
        with self._lock:
            self._drop_ended()
            self._keys.pop((wrapped, context), None)
            self._keys[wrapped, context] = _Lent(Key(key.expose()), since)
            while len(self._keys) > _MOST_KEYS:
                self._keys.popitem(last=False)[1].key.close()

    def forget(self, identity: bytes) -> None:
        """Zero the keys of a collection, by its uuid's bytes: they were destroyed."""
        with self._lock:
            for lent in [known for known in self._keys if identity in known[1]]:
                self._keys.pop(lent).key.close()

    def drop_ended(self) -> None:
        """Zero the keys whose lease is over."""
        with self._lock:
            self._drop_ended()

    def _drop_ended(self) -> None:
        # They lie in the order in which they were asked for, more or less.
        ended = self.clock() - self._lease
        while self._keys and next(iter(self._keys.values())).since <= ended:
            self._keys.popitem(last=False)[1].key.close()

    @property
    def lease(self) -> float:
        """Seconds that an unwrapped key is good for."""
        return self._lease

    def __repr__(self) -> str:
        return f"LeasingProvider({self._provider!r}, lease={self._lease:g})"


class Recording:
    """A `KeyProvider` that remembers when the oldest of the leases began that it gave."""

    def __init__(self, provider: LeasingProvider) -> None:
        self._provider = provider
        self._since = math.inf

    @property
    def key_id(self) -> str:
        """The provider's."""
        return self._provider.key_id

    @property
    def good(self) -> bool:
        """Whether none of the leases is over."""
        return self._provider.clock() < self._since + self._provider.lease

    @property
    def aging(self) -> bool:
        """Whether new leases should be asked for: the first is in its second half."""
        return self._provider.clock() >= self._since + self._provider.lease / 2

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """As the provider does. Raises Unavailable."""
        return self._provider.wrap(data_key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """As the provider does. Raises Unreadable, Unavailable."""
        key, since = self._provider._unwrap(wrapped, context)
        self._since = min(self._since, since)
        return key
