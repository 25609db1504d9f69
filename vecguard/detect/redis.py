"""The state store that workers and replicas share: profiles, budgets and counts in Redis or Valkey.

A profile is read, changed and written if nobody wrote it meanwhile; else it is read again. So `change` may run several
times, each on a fresh profile. Names are keyed and values sealed (`vecguard.state.sealing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from vecguard.detect.codec import open_head, open_states, pack_head, pack_states
from vecguard.detect.store import Key, Profile, Spend
from vecguard.errors import Unavailable, Unreadable
from vecguard.state.buckets import DEBT, Draw, draw
from vecguard.state.connection import Argument, Connection
from vecguard.state.scripts import CHANGED, COUNT, DROP, READ, REPLACE
from vecguard.state.sealing import StateKey

_PROFILE: Final = "p:"
_INDEX: Final = "index"
_CHANGES: Final = "changes"
_TOKEN_BYTES: Final = 12
_ATTEMPTS: Final = 64
_BACKOFF_S: Final = 0.002
_A_PAGE: Final = 500
_DAY_MS: Final = 86_400_000
_log = structlog.get_logger("vecguard.state")


class RedisStore:
    """A `Store` behind a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def change(self, key: Key, change: Callable[[Profile], None]) -> Profile:
        """Read, change and write one profile, as one step. Raises Unavailable."""
        for attempt in range(_ATTEMPTS):
            token, profile = await self._read(key)
            change(profile)
            if await self._replaced(key, token, profile):
                return profile
            await asyncio.sleep(_BACKOFF_S * random.uniform(0, min(2.0**attempt, 32)))  # noqa: S311 - no secret
        raise Unavailable("a profile in the store of shared state is changed too often")

    async def look(self, keys: Sequence[Key]) -> list[Profile | None]:
        """Profiles without the detectors' states. Raises Unavailable."""
        found: list[Profile | None] = []
        for start in range(0, len(keys), _A_PAGE):
            page = keys[start : start + _A_PAGE]
            answer = await self._connection.run(READ, partial(_asked, page))
            state_key = await self._connection.key()
            heads = zip(page, answer[::2], answer[1::2], strict=True)
            found += [_opened(state_key, key, token, head) for key, token, head in heads]
        return found

    async def keys(self) -> list[Key]:
        """All principals and collections that are remembered. Raises Unavailable."""
        return [key for key, _ in await self.everybody()]

    async def everybody(self) -> list[tuple[Key, Profile]]:
        """All profiles without the detectors' states, those that changed last in the end. Raises Unavailable."""
        return (await self.changed(0))[1]

    async def changed(self, since: int) -> tuple[int, list[tuple[Key, Profile]]]:
        """Profiles without states that were written after the change `since`, and the change to go on from.

        Changes count from 1. Raises Unavailable.
        """
        found: list[tuple[Key, Profile]] = []
        while True:
            listed = await self._connection.run(CHANGED, partial(_after, since))
            if listed:
                since = int(float(listed[-1]))
                found += await self._headed([name.decode() for name in listed[::2]])
            if len(listed) < 2 * _A_PAGE:
                return since, found

    async def _headed(self, names: Sequence[str]) -> list[tuple[Key, Profile]]:
        places = [_PROFILE + name for name in names]
        answer = await self._connection.run(READ, partial(_named, places))
        state_key = await self._connection.key()
        found: list[tuple[Key, Profile]] = []
        for name, token, head in zip(names, answer[::2], answer[1::2], strict=True):
            with contextlib.suppress(Unreadable):  # it expired; one that is damaged is told of where it is changed
                found.append(open_head(state_key.open(name, "head", token or b"", head or b"")))
        gone = [name for name, token in zip(names, answer[::2], strict=True) if token is None]
        if gone:
            await self._connection.run(DROP, lambda _: ([_INDEX, *(_PROFILE + name for name in gone)], [*gone]))
        return found

    async def spend(self, key: Key, spends: Sequence[Spend]) -> list[float]:
        """Draw on buckets, all or none: seconds until each could be drawn on; all 0.0 where they were.

        Raises:
            Unavailable: the store cannot be reached.
        """
        return await draw(self._connection, [_draw(key, each) for each in spends])

    async def owe(self, key: Key, spend: Spend) -> None:
        """Draw on a bucket whatever it holds; it may be in debt then. Raises Unavailable."""
        await draw(self._connection, [replace(_draw(key, spend), least=DEBT)])

    async def count_distinct(self, key: Key, sketch: str, period_s: int, hashes: Sequence[int], most: int) -> int:
        """Distinct hashes in this period of the store's clock, with these; they are added unless that exceeds `most`.

        Raises:
            Unavailable: the store cannot be reached.
        """

        def ask(state_key: StateKey) -> tuple[list[str], list[Argument]]:
            members = [int(value).to_bytes(8, "little") for value in dict.fromkeys(hashes)]
            return ["d:" + state_key.name("distinct", *key, sketch, str(period_s))], [period_s, most, *members]

        return int(await self._connection.run(COUNT, ask))

    async def close(self) -> None:
        """Nothing: the connection is closed by whoever made it."""

    async def _read(self, key: Key) -> tuple[bytes, Profile]:
        """The token of the last write, and the profile; a new one where there is none, or none that opens."""
        token, head, states = await self._connection.run(READ, partial(_asked, [key], states=True))
        state_key = await self._connection.key()
        profile = _opened(state_key, key, token, head)
        if profile is None:
            return token or b"", Profile()
        try:
            profile.states = open_states(state_key.open(_name(state_key, key), "states", token, states or b""))
        except Unreadable:
            _log.error("the states of a profile in the store of shared state do not open, and begin anew")
        return token, profile

    async def _replaced(self, key: Key, token: bytes, profile: Profile) -> bool:
        new, head, states = secrets.token_bytes(_TOKEN_BYTES), pack_head(key, profile), pack_states(profile.states)
        keep_ms = int(self._connection.settings.keep_days * _DAY_MS)

        def ask(state_key: StateKey) -> tuple[list[str], list[Argument]]:
            name = _name(state_key, key)
            sealed = [state_key.seal(name, part, new, data) for part, data in (("head", head), ("states", states))]
            return [_PROFILE + name, _INDEX, _CHANGES], [token, new, *sealed, keep_ms, name]

        return bool(await self._connection.run(REPLACE, ask))


def _draw(key: Key, spend: Spend) -> Draw:
    rate = spend.capacity / spend.period_s
    return Draw(("spend", *key, spend.bucket), rate, spend.capacity, spend.amount, spend.amount)


def _name(state_key: StateKey, key: Key) -> str:
    return state_key.name("profile", *key)


def _asked(keys: Sequence[Key], state_key: StateKey, *, states: bool = False) -> tuple[list[str], list[Argument]]:
    fields = ["token", "head", "states"] if states else ["token", "head"]
    return [_PROFILE + _name(state_key, key) for key in keys], [*fields]


def _after(change: int, _: StateKey) -> tuple[list[str], list[Argument]]:
    return [_INDEX], [change, _A_PAGE]


def _named(names: Sequence[str], _: StateKey) -> tuple[Sequence[str], list[Argument]]:
    return names, ["token", "head"]


def _opened(state_key: StateKey, key: Key, token: bytes | None, head: bytes | None) -> Profile | None:
    """The profile without states; None where there is none, or none that opens: who can write there can delete, too."""
    if token is None or head is None:
        return None
    try:
        found, profile = open_head(state_key.open(_name(state_key, key), "head", token, head))
    except Unreadable:
        _log.error("a profile in the store of shared state does not open, and begins anew")
        return None
    return profile if found == key else None
