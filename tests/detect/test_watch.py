"""What the path of a call does for detection: an answer is read there only where it may be too large to be given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.detect.detection import Detection
from vecguard.detect.memory import MemoryStore
from vecguard.detect.reading import Reading
from vecguard.errors import LimitExceeded
from vecguard.front.qdrant import FRONT
from vecguard.model import EXACT, Principal, Shape
from vecguard.policy.load import loads
from vecguard.stages import begin

ASK = q.ScrollPoints(collection_name="notes", limit=10_000)


@dataclass
class Call:
    principal: Principal
    entries: dict[str, Entry]
    shape: Shape = EXACT
    canaries: dict[str, dict[int, bool]] = field(default_factory=dict)


def page(count: int) -> q.ScrollResponse:
    """Points with their payload."""
    payload = {"a": q.Value(integer_value=1)}
    return q.ScrollResponse(result=[q.RetrievedPoint(id=q.PointId(num=i), payload=payload) for i in range(count)])


def read_on_its_path(rule: str, answer: Message, records: int) -> bool:
    """Whether the answer of a served call is read before it leaves; raises what the call would."""
    policy = loads(f"version: 1\ncollections: [{{match: notes, detection: {rule}}}]\n")
    entry = Entry("notes", policy.collections[0], None, None, policy, generation=0, checked=0.0, called="notes")
    reads = 0

    def observe(ask: Message, given: Message, entries: Mapping[str, Entry], shape: Shape) -> list[Reading]:
        nonlocal reads
        reads += 1
        return FRONT.observe(ask, given, entries, shape)

    async def count(name: str) -> int:
        return records

    async def run() -> bool:
        detection = Detection(MemoryStore(), lambda: policy, lambda event, **fields: None)
        watch = detection.watch(observe, count, FRONT.shown)
        if records:
            watch._sizes.of("notes")
            await watch._sizes.settled({"notes"})
        begin()
        await watch.served(Call(Principal("ann"), {"notes": entry}), lambda: ASK, answer, 1, "r")
        before = reads
        (one,) = [each for seen in detection.intake.take() for each in seen.read()]
        assert len(one.ids) == len(answer.result)  # type: ignore[attr-defined]  # all of it is analysed later
        await detection.close()
        return bool(before)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("rule", "count", "records", "read"),
    [
        ("{mode: observe}", 5_000, 0, False),
        ("{mode: enforce}", 250, 0, False),
        ("{mode: enforce}", 251, 0, True),
        ("{mode: enforce}", 250, 500, False),
        ("{mode: enforce}", 300, 100_000, False),
        ("{mode: enforce, largest_answer: null}", 5_000, 500, False),
        ("{mode: enforce, budgets: {records_per_day: 1000}}", 3, 0, True),
    ],
)
def test_what_cannot_be_too_large_is_read_beside(rule: str, count: int, records: int, read: bool) -> None:
    assert read_on_its_path(rule, page(count), records) is read


def test_what_is_too_large_does_not_leave() -> None:
    with pytest.raises(LimitExceeded, match="251 records of `notes` in one answer"):
        read_on_its_path("{mode: enforce}", page(251), 500)
