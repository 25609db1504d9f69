"""What a worker tells of principals goes on, whatever befalls one look at them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from vecguard.detect import reporting
from vecguard.detect.acts import Acts
from vecguard.detect.desk import Pin
from vecguard.detect.memory import MemoryStore
from vecguard.detect.reporting import Reporting
from vecguard.detect.verdicts import Verdicts

KEY = ("mallory", "notes")


async def _for_a_while(part: Reporting, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(part.run(), seconds)


def test_an_act_is_carried_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PAUSE_S", 0.01)
    acts, verdicts, told = Acts(tmp_path / "acts.json"), Verdicts(), list[str]()
    acts.add(KEY, Pin(2.0))
    asyncio.run(_for_a_while(Reporting(MemoryStore(), verdicts, acts, lambda head: not told.append(head)), 0.3))
    assert [json.loads(head)["principal"] for head in told] == ["mallory"]
    found = verdicts.of(KEY)
    assert found is not None
    assert found.risk == 2.0


def test_one_failure_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PAUSE_S", 0.01)
    acts, verdicts, tries = Acts(tmp_path / "acts.json"), Verdicts(), list[str]()

    def send(head: str) -> bool:
        tries.append(head)
        if len(tries) == 1:
            raise RuntimeError("the first time")
        return True

    part = Reporting(MemoryStore(), verdicts, acts, send)
    acts.add(KEY, Pin(2.0))

    async def run() -> None:
        running = asyncio.create_task(part.run())
        for number in (1, 2):
            async with asyncio.timeout(60):
                while len(tries) < number:
                    await asyncio.sleep(0.01)
            if number == 1:
                acts.add(("alice", "notes"), Pin(1.0))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert [json.loads(head)["principal"] for head in tries] == ["mallory", "alice"]
