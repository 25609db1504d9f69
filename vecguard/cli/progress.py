"""A progress bar on a terminal's standard error; nothing where there is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Advance = Callable[[int, int], None]
AdvanceStage = Callable[[str, int, int], None]


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
