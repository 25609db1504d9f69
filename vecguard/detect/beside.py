"""The task beside the calls: takes what they left on the queue, makes observations of it, and has it analysed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from vecguard.detect.analyst import Analyst
from vecguard.detect.intake import Intake
from vecguard.detect.observation import Observation
from vecguard.detect.pace import Pace
from vecguard.detect.sizes import Sizes

GATHER_S: Final = 0.1
"""How long calls are gathered before they are looked at together: detectors cost by the batch more than by the call."""
_log = structlog.get_logger("vecguard.detect")


class Record(Protocol):
    """Takes observations, as they were seen."""

    def __call__(self, observations: Sequence[Observation]) -> None: ...


class Beside:
    """Reads, records and analyses served calls."""

    def __init__(
        self,
        intake: Intake,
        analyst: Analyst,
        sizes: Sequence[Sizes],
        record: Record | None = None,
        failed: Callable[[int], None] = lambda calls: None,
        pace: Pace | None = None,
    ) -> None:
        """`record` keeps observations for a replay, and may raise OSError; `failed` counts calls that are not read.
        `pace`: the analyst's."""
        self._intake, self._analyst, self._sizes = intake, analyst, sizes
        self._record, self._failed = record, failed
        self._pace = pace or Pace()
        self._stopping = False

    async def run(self) -> None:
        """Go on until `stop`."""
        while not self._stopping:
            await self._intake.some()
            await self._intake.gathered(GATHER_S)
            await self.once()

    def stop(self) -> None:
        """Look at what was taken, and end."""
        self._stopping = True
        self._pace.hurry()
        self._intake.wake()

    async def once(self) -> None:
        """Look at what waits now. What cannot be read or analysed is told and counted, each call of it."""
        observations: list[Observation] = []
        self._pace.begin()
        for seen in self._intake.take():
            try:
                observations += seen.read()
            except Exception:  # noqa: BLE001 - see below
                # A bug, or a collection whose keys were destroyed meanwhile: told, and the others go on.
                _log.exception("served call not readable for detection")
                self._failed(1)
            await self._pace.step()
        if not observations:
            return
        try:
            await self._analyse(observations)
        except Exception:  # noqa: BLE001 - a bug: told, and calls are not kept waiting for a queue that nobody takes
            _log.exception("observations not analysed", lost=len(observations))
            self._failed(len(observations))

    async def _analyse(self, observations: Sequence[Observation]) -> None:
        for sizes in self._sizes:
            for one in observations:
                if len(one.written):
                    sizes.wrote(one.collection, len(one.written))
            await sizes.settled({one.collection for one in observations})
        if self._record is not None:
            try:
                self._record(observations)
            except OSError as fault:
                _log.error("observations not recorded", lost=len(observations), why=fault.strerror)
        await self._analyst.take_or_report(observations)
