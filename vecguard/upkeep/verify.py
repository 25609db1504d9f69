"""Looking at every record of a collection: which ones do not open, and what changed since the last look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecguard.errors import FailedPrecondition
from vecguard.upkeep.access import Database
from vecguard.upkeep.ledger import Changes, Digester, Ledger

Progress = Callable[[int, int], None]
"""Told how many records were looked at, and of how many there seemed to be."""


@dataclass
class Verification:
    """What a look at a whole collection found. `bad` are the faults of records that do not open, by id."""

    collection: str
    records: int = 0
    canaries: int = 0
    """How many of the records are planted."""
    seconds: float = 0.0
    bad: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: int | None = None
    """How many records fewer there are than are remembered: deleted behind the proxy, or during the look; None
    where it is not remembered what is newest."""
    changes: Changes | None = None
    since: str | None = None
    """When the look was that `changes` compares with; None for the first of a ledger."""

    @property
    def faults(self) -> Counter[str]:
        """How many records have each kind of fault."""
        return Counter(fault for faults in self.bad.values() for fault in faults)

    def alarming(self, *, unchanged: bool) -> bool:
        """Whether somebody should look into it; `unchanged`: nothing was to be written since the last look."""
        changes = self.changes
        return bool(self.bad or (changes is not None and (changes.returned or (unchanged and not changes.none))))

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        report: dict[str, Any] = {"collection": self.collection, "records": self.records, "bad": self.bad}
        report |= {} if self.missing is None else {"missing": self.missing}
        report |= {"canaries": self.canaries, "faults": dict(self.faults), "seconds": round(self.seconds, 3)}
        if self.changes is not None:
            report |= {"since": self.since, "changes": vars(self.changes)}
        return report


async def verify(
    database: Database, name: str, ledger_file: Path | None = None, progress: Progress = lambda done, total: None
) -> Verification:
    """Open every part of every record of a collection, under the keys and modes that it was made with.

    With a ledger file, compare with the look that it holds, and keep this one in its place; it stays as it was where
    records do not open, so that the look after a repair is compared with the last good one.

    Raises:
        FailedPrecondition: the collection lies in clear; or see `Ledger.load`.
        UpstreamFailure: the database cannot be reached, or does not know the collection.
        Unreadable: the collection's manifest does not authenticate.
        ConfigError: the ledger cannot be used.
    """
    started = time.monotonic()
    shield = await database.shield(name)
    if shield is None:
        raise FailedPrecondition(f"collection `{name}` lies in clear: there is nothing to verify")
    found = Verification(shield.manifest.collection)
    ledger = None if ledger_file is None else Ledger.load(ledger_file, Digester(shield.manifest, shield.ring))
    total = await database.front.count(database.upstream, name)
    planted = {str(one) for one in shield.planted.numbers}
    async for page in database.front.inspect(database.upstream, name, shield):
        for record in page:
            if record.faults:
                found.bad[record.key] = record.faults
            if ledger is not None:
                ledger.record(record.key, record.content)
        found.records += len(page)
        found.canaries += sum(record.key in planted for record in page)
        progress(found.records, max(total, found.records))
    if shield.fresh is not None:
        found.missing = max(await shield.fresh.count() - found.records, 0)
    if ledger is not None and ledger_file is not None:
        found.since = ledger.taken
        found.changes = ledger.finish()
        if not found.bad:
            ledger.save(ledger_file)
    found.seconds = time.monotonic() - started
    return found
