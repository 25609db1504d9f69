"""A worker within the test's own process, so that a test can act on what it remembers: real listeners and database."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from vecguard.config import Settings
from vecguard.detect.desk import Act
from vecguard.detect.observation import Observation
from vecguard.detect.store import Profile
from vecguard.generation import Generation
from vecguard.policy.credentials import hash_key
from vecguard.trail import configure
from vecguard.wiring import Worker

WAIT_S = 120.0
NAMES = ("mallory", "alice")
KEYS = {name: f"vgk-{name}-{'k' * 40}" for name in NAMES}
ACCESS = "access:\n  anonymous: []\n  api_keys:\n" + "".join(
    f"    - {{name: {name}, hash: '{hash_key(KEYS[name])}', roles: [read, write, admin]}}\n" for name in NAMES
)


@dataclass
class Inside:
    """A running worker."""

    worker: Worker
    loop: asyncio.AbstractEventLoop
    log: io.StringIO
    settings: Settings
    acts: list[Act] = field(default_factory=list)
    looking: int = 0
    """How many looks at what was seen are under way."""

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the worker's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def do(self, act: Act, principal: str = "mallory", collection: str = "notes") -> Profile:
        """An operator's act."""
        profile: Profile = self.run(self.worker._detection.desk.do((principal, collection), act, "test"))
        return profile

    def profile(self, principal: str = "mallory", collection: str = "notes") -> Profile | None:
        """What is remembered of a principal."""
        (profile,) = self.run(self.worker._detection.store.look([(principal, collection)]))
        return profile

    @contextlib.contextmanager
    def observed(self) -> Iterator[list[Observation]]:
        """What is observed of the calls in this block; it is all there at the end of the block."""
        seen: list[Observation] = []
        beside = self.worker._detection._beside
        self.run(self._looked())
        beside._record = seen.extend
        yield seen
        self.run(self._looked())
        beside._record = None

    async def _looked(self) -> None:
        """Everything has been looked at, also what the worker's own task has taken by itself."""
        await self.worker._detection._beside.once()
        while self.looking:
            await asyncio.sleep(0.005)

    def watch(self) -> None:
        """Know whether what was seen is being looked at."""
        beside = self.worker._detection._beside
        once = beside.once

        async def counted() -> None:
            self.looking += 1
            try:
                await once()
            finally:
                self.looking -= 1

        beside.once = counted

    async def _flushed(self) -> None:
        """The trail has written what it knows of calls that have ended."""
        await asyncio.sleep(0.05)  # a call is told of after its answer is on its way
        self.worker._observers._trail.flush()

    def events(self, event: str) -> list[dict[str, Any]]:
        """Events of the trail so far."""
        self.run(self._flushed())
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@contextlib.contextmanager
def worker_inside(folder: Path, policy: str, **settings: Any) -> Iterator[Inside]:
    """A worker that serves until the end of the block; `settings` as in a config file, `policy` the file's text."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "policy.yaml"
    file.write_text(policy, encoding="utf-8")
    given = Settings.model_validate({"policy": file, "key": f"file:{folder / 'vecguard.key'}", **settings})
    targets = {upstream.front: upstream.target for upstream in given.upstream}  # type: ignore[union-attr]  # remote ones
    log, loop = io.StringIO(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    with contextlib.redirect_stderr(log):
        configure()
        thread.start()

        async def start() -> Worker:
            worker = Worker(given, targets, Generation(None, 1, 0))
            await worker.start()
            return worker

        worker = asyncio.run_coroutine_threadsafe(start(), loop).result(WAIT_S)
        inside = Inside(worker, loop, log, given)
        inside.watch()
        try:
            yield inside
        finally:
            inside.run(worker.close())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(WAIT_S)
            loop.close()
            structlog.reset_defaults()
