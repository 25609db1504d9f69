"""Carrying a collection over to another protection, name or database: copied, compared whole, and only then taken over.

Copying goes page by page in the order of keys, and a journal says after which page. Then both collections are read
whole and compared; what differs, since somebody wrote meanwhile, is written again, until a comparison finds nothing.
What is written between the last comparison and the taking over is lost with the old collection: writers are to stop
for that time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vecguard.errors import AlreadyExists, FailedPrecondition
from vecguard.policy.model import CollectionPolicy
from vecguard.upkeep import journal as journals
from vecguard.upkeep.journal import Journal

if TYPE_CHECKING:  # fronts are loaded by the registry
    from vecguard.front.transfer import Blueprint, Row, Transfer, Vector, VectorShape

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many records that was done to, and of how many."""

_MOST_PASSES: Final = 6
# How far a vector that was protected and opened again may lie from what it was, as a part of its length.
_TOLERANCE: Final = 2e-3
_HALF_TOLERANCE: Final = 3e-2


@dataclass
class Migration:
    """One migration: from where, to where under which policy, and the file with its journal."""

    source: Transfer
    target: Transfer
    policy: CollectionPolicy
    file: Path
    journal: Journal
    progress: Progress = lambda what, done, total: None
    deviation: float = field(default=0.0, init=False)
    """The largest deviation of a vector read back, as a part of its length."""
    unread: list[str] = field(default_factory=list, init=False)
    """Vectors that nobody can read back under the target's policy, which therefore were not compared."""

    async def run(self) -> Journal:
        """Do what is left to do.

        Raises:
            AlreadyExists: there is a collection of the target's name.
            FailedPrecondition: records kept changing, so nothing was taken over.
            Refused, InvalidArgument: something cannot be carried over; says what.
            UpstreamFailure: a database says no, or cannot be reached: run it again to go on.
        """
        journal, blueprint = self.journal, None
        if journal.phase in ("making", "copying", "comparing"):
            blueprint = await self.source.blueprint()
        if journal.phase == "making" and blueprint is not None:
            await self._make(blueprint)
        if journal.phase == "copying" and blueprint is not None:
            await self._copy(blueprint)
        if journal.phase == "comparing" and blueprint is not None:
            await self._compare(blueprint)
        if journal.phase == "taking over":
            outcome = await self.target.take_over(journal.source, self.source, journal.aside)
            self._note(phase="done", outcome=outcome)
        return journal

    def _note(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.journal, name, value)
        journals.save(self.file, self.journal)

    async def _make(self, blueprint: Blueprint) -> None:
        if await self.target.is_there():
            if not self.file.exists():
                raise AlreadyExists(f"there is a collection `{self.target.name}` already: choose another name")
            await self.target.drop()  # an attempt that was cut off while it made it
        self._note(phase="making")
        await self.target.make(blueprint)
        self._note(phase="copying")

    async def _copy(self, blueprint: Blueprint) -> None:
        journal, total = self.journal, await self.source.count()
        anew = journal.copied > 0 or journal.after is not None
        # Where the first attempt was cut off, its last page may be there already.
        anew = anew or await self.target.count() > 0
        async for page in self.source.pages(journal.after):
            await self.target.write([self.target.fitted(row, blueprint) for row in page.rows], anew=anew)
            anew = False
            self._note(after=page.after, copied=journal.copied + len(page.rows))
            self.progress("copying", journal.copied, max(total, journal.copied))
            if page.after is None:
                break
        self._note(phase="comparing", after=None)

    async def _compare(self, blueprint: Blueprint) -> None:
        for _ in range(_MOST_PASSES):
            mended = await self._pass(blueprint) + await self._remove_surplus(blueprint)
            self._note(passes=self.journal.passes + 1, repaired=self.journal.repaired + mended)
            if not mended:
                self._note(phase="taking over" if self.journal.in_place else "done")
                return
        raise FailedPrecondition(
            f"records of `{self.source.name}` changed during each of {_MOST_PASSES} comparisons: stop its writers and "
            "run the command again; nothing was taken over"
        )

    async def _pass(self, blueprint: Blueprint) -> int:
        """Compare every record of the source with the target's, and write again what differs; how many did."""
        done, mended, total = 0, 0, await self.source.count()
        shapes = {self.target.vector_name(shape.name): shape for shape in blueprint.vectors}
        self.unread = [name for name, shape in shapes.items() if not self._readable(name, shape)]
        names = [name for name in shapes if name not in self.unread]
        async for page in self.source.pages(None):
            rows = [self.target.fitted(row, blueprint) for row in page.rows]
            found = await self.target.read([row.key for row in rows], names) if rows else {}
            differing = [row for row in rows if not self._same(row, found.get(row.key), names, shapes)]
            if differing:
                await self.target.write(differing, anew=True)
            mended, done = mended + len(differing), done + len(rows)
            self.progress("comparing", done, max(total, done))
        return mended

    def _readable(self, name: str, shape: VectorShape) -> bool:
        return not self.policy.protected or shape.kind == "sparse" or self.policy.vector(name).recover != "none"

    async def _remove_surplus(self, blueprint: Blueprint) -> int:
        """Delete what the target has and the source has no more; how many records that were."""
        if await self.target.count() <= await self.source.count():
            return 0
        wanted = {self.target.fitted(row, blueprint).key async for row in _rows(self.source)}
        surplus = [row.key async for row in _rows(self.target) if row.key not in wanted]
        if surplus:
            await self.target.delete(surplus)
        return len(surplus)

    def _same(self, row: Row, found: Row | None, names: Sequence[str], shapes: Mapping[str, VectorShape]) -> bool:
        if found is None or _text(row.payload) != _text(found.payload):
            return False
        for name in names:
            one, other = row.vectors.get(name), found.vectors.get(name)
            if (one is None) != (other is None):
                return False
            if one is None or other is None:
                continue
            apart = deviation(one, other)
            if apart > (_HALF_TOLERANCE if shapes[name].half else _TOLERANCE):
                return False
            self.deviation = max(self.deviation, apart)
        return True


async def _rows(side: Transfer) -> Any:
    async for page in side.pages(None, ()):
        for row in page.rows:
            yield row


def _text(payload: Mapping[str, Any]) -> str:
    """Equal where values are, and their types: 1, 1.0 and true are three."""
    return json.dumps(payload, sort_keys=True)


def deviation(one: Vector, other: Vector) -> float:
    """How far two vectors lie apart, as a part of the first one's length; infinite where they are of unlike kinds."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape:
            return float("inf")
        length = float(np.linalg.norm(one))
        return float(np.linalg.norm(one - other)) / (length or 1.0)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return float("inf")
    same = np.array_equal(one.indices, other.indices) and np.array_equal(one.values, other.values)
    return 0.0 if same else float("inf")
