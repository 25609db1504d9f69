"""The latest alerts, and those who watch for more."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from vecguard.v1 import admin_pb2 as v1

KEPT: Final = 1_000
"""Of a kind."""
_MOST_WATCHERS: Final = 32


def alert_of(message: Mapping[str, Any]) -> v1.Alert:
    """The alert that a worker told of.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    alert = v1.Alert(
        kind=str(message["alert"]),
        worker=int(message.get("worker", 0)),
        principal=str(message.get("principal") or ""),
        rpc=str(message.get("rpc", "")),
        collections=[str(name) for name in message.get("collections", ())],
        request_id=str(message.get("request_id", "")),
        suppressed=int(message.get("suppressed", 0)),
        rung=str(message.get("rung", "")),
        risk=float(message.get("risk", 0.0)),
        reasons=[str(reason) for reason in message.get("reasons", ())],
        blocked_s=int(message.get("blocked_s", 0)),
        budget=str(message.get("budget", "")),
        enforced=bool(message.get("enforced", False)),
    )
    alert.time.CopyFrom(Timestamp(nanos=0))
    alert.time.FromNanoseconds(int(float(message["time"]) * 1e9))
    return alert


class Alerts:
    """Keeps the latest of each kind, and hands new ones to watchers. One that is too slow misses the oldest it has not
    read."""

    def __init__(self) -> None:
        self._latest: dict[int, deque[tuple[int, v1.Alert]]] = {}
        self._count = itertools.count()
        self._watchers: set[_Watcher] = set()

    def add(self, alert: v1.Alert) -> None:
        """Something happened."""
        self._latest.setdefault(alert.kind, deque(maxlen=KEPT)).append((next(self._count), alert))
        for watcher in self._watchers:
            watcher.take(alert)

    async def watch(self, latest: int) -> AsyncIterator[v1.Alert]:
        """The latest so many, of each kind its part, and then what happens.

        Raises:
            OverflowError: too many watch.
        """
        if len(self._watchers) >= _MOST_WATCHERS:
            raise OverflowError
        watcher = _Watcher(self._some(latest))
        self._watchers.add(watcher)
        try:
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    def _some(self, latest: int) -> list[v1.Alert]:
        """So many, oldest first: of each kind the latest, as many of all, and what is left the latest of any."""
        part = max(latest // max(len(self._latest), 1), 1)
        of_all = {number: alert for kept in self._latest.values() for number, alert in list(kept)[-part:]}
        others = {number: alert for kept in self._latest.values() for number, alert in kept if number not in of_all}
        room = max(latest - len(of_all), 0)
        chosen = {**of_all, **{number: others[number] for number in sorted(others)[len(others) - room :]}}
        return [chosen[number] for number in sorted(chosen)][-latest:] if latest else []


class _Watcher:
    def __init__(self, alerts: list[v1.Alert]) -> None:
        self._waiting: deque[v1.Alert] = deque(alerts, maxlen=KEPT)
        self._news = asyncio.Event()

    def take(self, alert: v1.Alert) -> None:
        self._waiting.append(alert)
        self._news.set()

    async def next(self) -> v1.Alert:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()
