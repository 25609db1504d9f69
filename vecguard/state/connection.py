"""The connection to the store: opened when it is first needed, bounded in time, and given up at once while it is away.

The first call that finds the store away waits for `timeout_s` at most; from then on calls fail at once, while a task
beside them tries until the store answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import redis.asyncio as client
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from vecguard.errors import Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.provider import KeyProvider
from vecguard.state.scripts import ADOPT, WRONG_KEY
from vecguard.state.sealing import StateKey
from vecguard.state.settings import StateSettings

_CONTEXT: Final = b"vecguard state 1"
_CONNECTIONS: Final = 32
_PROBE_S: Final = 0.5
_FIRST_S: Final = 2.0
_ATTEMPTS: Final = 3
_AWAY: Final = "the store of shared state cannot be reached"
_OTHER_KEY: Final = (
    "the store of shared state holds a key that this key provider does not open: see docs/operations.md, Shared state"
)
_log = structlog.get_logger("vecguard.state")

Argument: TypeAlias = bytes | str | int | float
Answer = TypeVar("Answer")


class Connection:
    """What all shared state of a process goes through."""

    def __init__(self, settings: StateSettings, provider: LeasingProvider) -> None:
        """Raises ConfigError: the password, or a file of TLS, cannot be read. Nothing is connected yet."""
        self.settings = settings
        self._provider = provider
        self._client = _client(settings)
        self._key: StateKey | None = None
        self._wrapped = b""
        self._lease = provider.recording()
        self._opened = False
        self._opening = asyncio.Lock()
        self._probing: asyncio.Task[None] | None = None
        self._scripts: dict[str, Any] = {}
        self.failures = 0
        """How many calls the store failed."""
        self.epoch = 0
        """Counts how often what was known of the store has to be read anew: it was away, or was emptied."""
        self.returned: Callable[[], None] = lambda: None
        """Called when the store is back after it was away."""

    @property
    def reachable(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._probing is None

    def place(self, name: str) -> str:
        """The store's own name of a value."""
        return f"{self.settings.prefix}:{name}"

    async def run(self, script: str, ask: Callable[[StateKey], tuple[Sequence[str], Sequence[Argument]]]) -> Any:
        """Run a script on what `ask` makes, under the key of the store: the names of values, and the arguments.

        Raises:
            Unavailable: the store does not answer in time, or the key provider is away and is needed.
        """
        for _ in range(_ATTEMPTS):
            key = await self.key()
            names, arguments = ask(key)
            places = [self.place("key"), *map(self.place, names)]
            try:
                return await self._call(self._script(script)(keys=places, args=[key.identity, *arguments]))
            except ResponseError as fault:
                if WRONG_KEY not in str(fault):
                    raise Unavailable(f"{_AWAY}: it refuses our scripts") from None
                self._key = None  # it was emptied, or somebody else was first
        raise Unavailable(_OTHER_KEY)

    async def key(self) -> StateKey:
        """The key of the store; one of ours is put there where it has none. Raises Unavailable."""
        if self._key is not None and not self._lease_is_over():
            return self._key
        async with self._opening:
            if self._key is None or self._lease_is_over():
                self._key = await self._agreed()
            return self._key

    async def renew(self) -> None:
        """Have the key unwrapped anew in the second half of its lease, beside the calls, which go on if that fails."""
        if self._key is not None and self._lease.aging:
            with contextlib.suppress(Unavailable):
                async with self._opening:
                    self._key = await self._agreed()

    def _lease_is_over(self) -> bool:
        return not self._lease.good

    async def _agreed(self) -> StateKey:
        """The key that the store holds, unwrapped; wrapped anew where a former key-encryption key wrapped it."""
        lease = self._provider.recording()
        fields = ["id", "wrapped", "kek"]
        held = await self._call(cast("Awaitable[Any]", self._client.hmget(self.place("key"), fields)))
        if None in held:
            held = await self._offered()
        identity, self._wrapped, kek = held
        key = await self._unwrapped(self._wrapped, lease)
        agreed = StateKey(key)
        if agreed.identity.encode() != identity:
            raise Unavailable(_OTHER_KEY)
        if kek.decode() != self._provider.key_id:
            self._wrapped = await asyncio.to_thread(self._provider.wrap, key, _CONTEXT)
            await self._adopt(agreed)
        self._lease, self._opened = lease, True
        if self._key is not None and self._key.identity == agreed.identity:
            return self._key
        self.epoch += 1
        return agreed

    async def _offered(self) -> list[bytes]:
        """Put the key that this process has, or a new one, into a store that has none; the one that it has now."""
        if not self._wrapped:
            self._wrapped = await asyncio.to_thread(self._provider.wrap, Key.random(), _CONTEXT)
        return await self._adopt(StateKey(await self._unwrapped(self._wrapped, self._provider)))

    async def _adopt(self, key: StateKey) -> list[bytes]:
        arguments = [key.identity, self._wrapped, self._provider.key_id]
        held: list[bytes] = await self._call(self._script(ADOPT)(keys=[self.place("key")], args=arguments))
        return held

    async def _unwrapped(self, wrapped: bytes, provider: KeyProvider) -> Key:
        try:
            return await asyncio.to_thread(provider.unwrap, wrapped, _CONTEXT)
        except Unreadable:
            _log.error("the key in the store of shared state is of another key-encryption key")
            raise Unavailable(_OTHER_KEY) from None

    def _script(self, text: str) -> Any:
        if text not in self._scripts:
            self._scripts[text] = self._client.register_script(text)
        return self._scripts[text]

    async def _call(self, asked: Awaitable[Answer]) -> Answer:
        if self._probing is not None:
            if asyncio.iscoroutine(asked):
                asked.close()
            raise Unavailable(_AWAY)
        try:
            # Nothing is served yet when it is first asked, and connections are opened then.
            patience = self.settings.timeout_s if self._opened else max(self.settings.timeout_s, _FIRST_S)
            async with asyncio.timeout(patience):
                return await asked
        except ResponseError:
            raise
        except (RedisError, OSError, TimeoutError) as fault:
            self._away(fault)
            raise Unavailable(_AWAY) from None

    def _away(self, fault: Exception) -> None:
        self.failures += 1
        if self._probing is None:
            _log.error("store of shared state lost", fault=type(fault).__name__)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Try until the store answers; connections from before are given up."""
        while True:
            await self._client.connection_pool.disconnect()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(max(self.settings.timeout_s, _PROBE_S)):
                    await cast("Awaitable[Any]", self._client.ping())
                    break
            await asyncio.sleep(_PROBE_S)
        _log.info("store of shared state is back")
        self._probing = None
        self.epoch += 1
        self.returned()

    async def close(self) -> None:
        """Give connections back."""
        if self._probing is not None:
            self._probing.cancel()
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()


def _client(settings: StateSettings) -> client.Redis:
    common: dict[str, Any] = {
        "db": settings.database,
        "username": settings.username,
        "password": settings.password(),
        "socket_timeout": None,  # each call has a bound of its own
        "socket_connect_timeout": max(settings.timeout_s, _FIRST_S),
        "retry": Retry(NoBackoff(), 0),  # what fails is told at once: whether to go on without it is the policy's
        "client_name": "vecguard",
    }
    kind: type[client.Connection] | type[client.UnixDomainSocketConnection] = client.Connection
    if settings.path is not None:
        kind = client.UnixDomainSocketConnection
        common["path"] = settings.path
    else:
        common |= {"host": settings.host, "port": settings.port}
    if settings.tls:
        kind = client.SSLConnection
        files = {"ssl_ca_certs": settings.ca, "ssl_certfile": settings.certificate, "ssl_keyfile": settings.private_key}
        common |= {name: str(file) for name, file in files.items() if file is not None}
    pool = client.BlockingConnectionPool(
        max_connections=_CONNECTIONS, timeout=max(settings.timeout_s, _FIRST_S), connection_class=kind, **common
    )
    return client.Redis.from_pool(pool)
