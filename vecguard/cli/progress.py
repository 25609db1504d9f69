"""Progress: on standard error a bar on a terminal, elsewhere nothing or lines of a log; or JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal, TextIO, TypeAlias

import typer

Advance = Callable[[int, int], None]
AdvanceStage = Callable[[str, int, int], None]
ProgressOption: TypeAlias = Annotated[
    Literal["bar", "json"], typer.Option("--progress", help="bar: on a terminal. json: lines on standard output.")
]

# Seconds between two lines on one stage, where there is no terminal.
EVERY: Final = 30.0


def line(stage: str, done: int, total: int, **more: int) -> None:
    """Say on standard output where a command is, as a line of JSON."""
    sys.stdout.write(json.dumps({"stage": stage, "done": done, "total": total, **more}) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def bar(title: str) -> Iterator[Advance]:
    """What to tell how many of how many are done."""
    with stages() as advance:
        yield lambda done, total: advance(title, done, total)


@contextlib.contextmanager
def stages() -> Iterator[AdvanceStage]:
    """What to tell what is being done, and how many of how many of it are done: a bar for each."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield advance


@contextlib.contextmanager
def long_run() -> Iterator[AdvanceStage]:
    """What to tell the stages of minutes or hours: one bar that changes its name; in a log, lines with their time."""
    if not sys.stderr.isatty():
        yield LogLines(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("reading texts", total=None)
        yield lambda what, done, total: shown.update(task, description=what, completed=done, total=total)


class LogLines:
    """A line where a stage begins and every `EVERY` seconds of it, with minutes and seconds since the first."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._began = clock()
        self._stage, self._said = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say `what`, and that `done` of `total` are, unless it was said a moment ago."""
        now = self._clock()
        if what == self._stage and now - self._said < EVERY:
            return
        self._stage, self._said = what, now
        minutes, seconds = divmod(int(now - self._began), 60)
        self._stream.write(f"{minutes:4d}:{seconds:02d} {what}, {done} of {total}\n")
        self._stream.flush()
