"""Planted records as one call meets them: which it met, and which are left out of whatever it reads."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TypeAlias

from vecguard.entry import Entry
from vecguard.errors import Denied

PlantedId: TypeAlias = int | str


class PlantedMet(Exception):
    """An answer of the database holds planted records of a collection, by its name as it is called."""

    def __init__(self, collection: str, ids: Sequence[PlantedId]) -> None:
        super().__init__(collection)
        self.collection, self.ids = collection, ids


class PlantedNamed(Denied):
    """A write names planted records of a collection, by its name as it is called."""

    def __init__(self, collection: str, count: int) -> None:
        super().__init__("a point of this id cannot be written")
        self.collection, self.count = collection, count


class Hidden:
    """`left_out` are the ids that no answer may hold; `canaries` the numbers of those met, and whether the caller named
    them: both by collection as it is called."""

    def __init__(self) -> None:
        self.left_out: dict[str, list[PlantedId]] = {}
        self.canaries: dict[str, dict[int, bool]] = {}

    def leave_out(self, called: str, entry: Entry) -> None:
        """Have all planted records of a collection left out of all that is read of it."""
        if entry.shield is not None:
            self.left_out[called] = entry.shield.planted.every()

    def leave_out_declared(self, called: str, entry: Entry) -> None:
        """Have as many as the policy has for a collection left out of what is counted of it."""
        if entry.shield is not None and entry.policy.detection.canaries:
            self.left_out[called] = entry.shield.planted.every(entry.policy.detection.canaries)

    def meet(self, called: str, numbers: Iterable[int], *, named: Container[int]) -> None:
        """Note which planted records the call met; `named`: those that the caller asked for by their ids."""
        met = self.canaries.setdefault(called, {})
        for number in numbers:
            met[number] = met.get(number, False) or number in named
