"""Public keys of a token issuer: a JWK Set (RFC 7517) from a file or an address, fetched again now and then.

Keys roll over: a token that names a key which is not there has the set fetched at once, but not more often than every
`ROLLOVER_PAUSE_S`, so that made-up key names cannot be used to flood the issuer. While the issuer cannot be reached the
keys that are known go on to be used for `STALE_S`.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from vecguard.errors import Unavailable

ROLLOVER_PAUSE_S: Final = 10.0
STALE_S: Final = 24 * 3600.0
_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1 << 20
_MOST_KEYS: Final = 100
_log = structlog.get_logger("vecguard.access")

Jwk = dict[str, Any]


class KeySet:
    """The keys at one place. `find` is safe to be called by many calls at once."""

    def __init__(self, place: str, refresh_s: float) -> None:
        """`place` is `https://...` (or `http://` on loopback), or `file:PATH`."""
        self._place = place
        self._refresh_s = refresh_s
        self._keys: tuple[Jwk, ...] = ()
        self._fetched: float | None = None
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> list[Jwk]:
        """The keys called `key_id`; all of them where a token names none.

        Raises:
            Unavailable: there are no keys yet, and they cannot be fetched.
        """
        if self._age() > self._refresh_s:
            await self._fetch(self._refresh_s)
        found = self._named(key_id)
        if not found:
            await self._fetch(ROLLOVER_PAUSE_S)
            found = self._named(key_id)
        if self._age() > STALE_S:
            raise Unavailable("the keys of the token's issuer cannot be fetched")
        return found

    @property
    def fetched(self) -> float | None:
        """When the keys in use were fetched (monotonic seconds): whatever was checked before was by other keys."""
        return self._fetched

    def _age(self) -> float:
        return float("inf") if self._fetched is None else time.monotonic() - self._fetched

    def _named(self, key_id: str | None) -> list[Jwk]:
        return [key for key in self._keys if key_id is None or key.get("kid") == key_id]

    async def _fetch(self, older_than: float) -> None:
        """Fetch keys that are older; failures leave what is known, and are not repeated at once."""
        async with self._fetching:
            now = time.monotonic()
            if self._age() <= older_than or now - self._tried < ROLLOVER_PAUSE_S:
                return
            self._tried = now
            try:
                self._keys = _read(await self._load())
            except (httpx.HTTPError, OSError, ValueError) as fault:
                _log.warning("keys of a token issuer not fetched", place=self._place, error=type(fault).__name__)
                return
            self._fetched = time.monotonic()

    async def _load(self) -> bytes:
        if self._place.startswith("file:"):
            return await asyncio.to_thread(Path(self._place.removeprefix("file:")).read_bytes)
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self._place) as answer,
        ):
            answer.raise_for_status()
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise ValueError("the key set is too large")
        return bytes(content)


def _read(content: bytes) -> tuple[Jwk, ...]:
    """The signing keys in a JWK Set. Raises ValueError: it is none, or too large."""
    tree = json.loads(content) if len(content) <= _MOST_BYTES else None
    keys = tree.get("keys") if isinstance(tree, dict) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS or not all(isinstance(key, dict) for key in keys):
        raise ValueError("not a JWK Set")
    return tuple(key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") != "oct")
