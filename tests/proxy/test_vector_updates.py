"""A vector that is updated on its own is written in steps: whatever comes between them, its point stays readable."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import DIMS, Guarded, guarded, shield_of
from proxy.conftest import payload, vectors
from vecguard.front.qdrant import records
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.writes import protect_operation, protect_points
from vecguard.shield import Shield

Operation = q.PointsUpdateOperation
ID = q.PointId(num=1)
NAMES = ("d", "m", "s")


def other(number: int) -> q.Vectors:
    """Three vectors like no other number's."""
    rng = np.random.default_rng(number)
    rows = [q.DenseVector(data=clear_cut(rng).tolist()) for _ in range(3)]
    sparse = q.SparseVector(indices=[3, 7, 10 + number], values=[1.0, 2.0, float(number)])
    named = {
        "d": q.Vector(dense=rows[0]),
        "m": q.Vector(multi_dense=q.MultiDenseVector(vectors=rows[1:])),
        "s": q.Vector(sparse=sparse),
    }
    return q.Vectors(vectors=q.NamedVectors(vectors=named))


def clear_cut(rng: np.random.Generator) -> NDArray[np.float64]:
    """A vector that `content` rounds to the same numbers after some rounding of the proxy's, at its own length or 1."""
    while True:
        row = np.round(rng.standard_normal(DIMS), 2)
        if (np.abs(row / np.linalg.norm(row) * 1000 % 1 - 0.5) > 0.01).all():
            return row


def content(holders: dict[str, q.Vector | q.VectorOutput]) -> dict[str, list[float]]:
    """Vectors as rounded numbers, cosine ones at unit length, to be compared."""
    found = {}
    for name, message in holders.items():
        vector = wire.read(message)
        if isinstance(vector, wire.Sparse):
            numbers = np.concatenate([vector.indices.astype(np.float32), vector.values])
        else:
            numbers = vector.data if isinstance(vector, wire.Dense) else vector.rows.ravel()
        found[name] = np.round(numbers / (np.linalg.norm(numbers) if name == "d" else 1.0), 3).tolist()
    return found


def now(place: Guarded, collection: str) -> dict[str, list[float]]:
    """Point 1's vectors, read through the proxy; payload is read along."""
    ask = q.GetPoints(collection_name=collection, ids=[ID])
    ask.with_vectors.enable = ask.with_payload.enable = True
    point = place.client.points.Get(ask).result[0]
    assert point.payload["note"].string_value.startswith("number")
    return content(point.vectors.vectors.vectors)


def update(shield: Shield, number: int, names: Sequence[str] = NAMES) -> list[Operation]:
    """What an update of point 1 becomes."""
    given = other(number).vectors.vectors
    chosen = q.Vectors(vectors=q.NamedVectors(vectors={name: given[name] for name in names}))
    asked = Operation.UpdateVectors(points=[q.PointVectors(id=ID, vectors=chosen)])
    return protect_operation(Operation(update_vectors=asked), shield)


def whole(shield: Shield, number: int) -> list[Operation]:
    """What an upsert of point 1 becomes."""
    point = q.PointStruct(id=ID, vectors=other(number), payload=payload(1))
    protect_points(shield, [point])
    return [Operation(upsert=Operation.PointStructList(points=[point]))]


def run(place: Guarded, collection: str, operations: Sequence[Operation]) -> None:
    """Write stored operations behind the proxy, one after the other."""
    for operation in operations:
        ask = q.UpdateBatchPoints(collection_name=collection, operations=[operation], wait=True)
        place.rest.points.UpdateBatch(ask)


def slots(shield: Shield, number: int) -> set[str]:
    """Where in the ring an update's entry of `d` goes."""
    first = update(shield, number, ["d"])[0]
    return set(first.set_payload.payload)


def pairs(shield: Shield, *, same_slot: bool) -> tuple[int, int]:
    """Two updates whose entries fall into the same slot of the ring, or into different ones."""
    numbers = range(100, 140)
    return next(
        (a, b) for a, b in itertools.combinations(numbers, 2) if (slots(shield, a) == slots(shield, b)) == same_slot
    )


def reset(place: Guarded, collection: str) -> None:
    point = q.PointStruct(id=ID, vectors=vectors(1), payload=payload(1))
    place.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=[point], wait=True))


def test_an_update_is_an_entry_then_the_vector_then_the_entry(place: Guarded, collection: str) -> None:
    steps = update(shield_of(place, collection), 5)
    assert [step.WhichOneof("operation") for step in steps] == ["set_payload", "update_vectors", "set_payload"]
    assert [steps[0].set_payload.key, steps[2].set_payload.key] == ["_vgn", "_vgn"]
    assert {key[:2] for key in steps[2].set_payload.payload} == {"f_"}


@pytest.mark.parametrize("names", [["d"], ["m"], ["s"], ["d", "m", "s"]], ids="+".join)
def test_an_update_that_was_cut_off_anywhere(place: Guarded, collection: str, names: list[str]) -> None:
    shield = shield_of(place, collection)
    before, steps = content(vectors(1).vectors.vectors), update(shield, 5, names)
    after = {**before, **{name: content(other(5).vectors.vectors)[name] for name in names}}
    for cut in range(len(steps) + 1):
        reset(place, collection)
        run(place, collection, steps[:cut])
        assert now(place, collection) == (before if cut < 2 else after)
        # The next writer goes on from there, in whichever way it writes.
        run(place, collection, update(shield, 6))
        assert now(place, collection) == content(other(6).vectors.vectors)


def interleavings(first: Sequence[Operation], second: Sequence[Operation]) -> Iterator[list[Operation]]:
    """All ways to run two sequences of operations into each other."""
    total = len(first) + len(second)
    for places in itertools.combinations(range(total), len(first)):
        one, two = iter(first), iter(second)
        yield [next(one) if i in places else next(two) for i in range(total)]


@pytest.mark.parametrize("same_slot", [False, True], ids=["different slots", "same slot"])
def test_two_updates_of_one_point_in_every_order(place: Guarded, collection: str, same_slot: bool) -> None:
    shield = shield_of(place, collection)
    a, b = pairs(shield, same_slot=same_slot)
    results = [content(other(number).vectors.vectors)["d"] for number in (a, b)]
    winners = set()
    for order in interleavings(update(shield, a, ["d"]), update(shield, b, ["d"])):
        reset(place, collection)
        run(place, collection, order)
        found = now(place, collection)["d"]
        assert found in results
        winners.add(results.index(found))
    assert winners == {0, 1}


def test_an_update_and_a_whole_point_in_every_order(place: Guarded, collection: str) -> None:
    """Once the whole point is there, an update that began before it changes nothing any more."""
    shield = shield_of(place, collection)
    updated, written = (content(other(number).vectors.vectors) for number in (5, 6))
    for order in interleavings(update(shield, 5), whole(shield, 6)):
        reset(place, collection)
        run(place, collection, order)
        came_first = order[0].WhichOneof("operation") == "upsert"
        assert now(place, collection) == (updated if came_first else written)


@pytest.mark.slow
def test_three_updates_with_one_slot_in_many_orders(place: Guarded, collection: str) -> None:
    shield = shield_of(place, collection)
    by_slot: dict[frozenset[str], list[int]] = {}
    for number in range(200, 240):
        by_slot.setdefault(frozenset(slots(shield, number)), []).append(number)
    three = max(by_slot.values(), key=len)[:3]
    results = [content(other(number).vectors.vectors)["d"] for number in three]
    rng = np.random.default_rng(0)
    for _ in range(60):
        queues = [update(shield, number, ["d"]) for number in three]
        reset(place, collection)
        while any(queues):
            queue = queues[rng.choice([i for i, left in enumerate(queues) if left])]
            run(place, collection, [queue.pop(0)])
        assert now(place, collection)["d"] in results


def test_the_ring_does_not_grow(place: Guarded, collection: str) -> None:
    for number in range(30):
        update_through(place, collection, number)
    fields = place.stored(collection, 1)[0].payload["_vgn"].struct_value.fields
    assert len(fields) <= (records.SLOTS + 1) * len(NAMES)
    assert now(place, collection) == content(other(29).vectors.vectors)


def update_through(place: Guarded, collection: str, number: int, point: q.PointId = ID) -> None:
    points = [q.PointVectors(id=point, vectors=other(number))]
    place.client.points.UpdateVectors(q.UpdatePointVectors(collection_name=collection, points=points, wait=True))


def test_points_with_different_vectors_in_one_update(place: Guarded, collection: str) -> None:
    given = other(5).vectors.vectors

    def some(*names: str) -> q.Vectors:
        return q.Vectors(vectors=q.NamedVectors(vectors={name: given[name] for name in names}))

    points = [
        q.PointVectors(id=ID, vectors=some("d", "s")),
        q.PointVectors(id=q.PointId(num=2), vectors=some("m")),
        q.PointVectors(id=ID, vectors=some("m")),
    ]
    place.client.points.UpdateVectors(q.UpdatePointVectors(collection_name=collection, points=points, wait=True))
    assert now(place, collection) == content(given)
    ask = q.GetPoints(collection_name=collection, ids=[q.PointId(num=2)])
    ask.with_vectors.enable = True
    second = content(place.client.points.Get(ask).result[0].vectors.vectors.vectors)
    assert second == {**content(vectors(2).vectors.vectors), "m": content(given)["m"]}


def test_an_update_filter_still_decides(place: Guarded, collection: str) -> None:
    def updating(value: str) -> None:
        match = q.FieldCondition(key="tag", match=q.Match(keyword=value))
        condition = q.Filter(must=[q.Condition(field=match)])
        points = [q.PointVectors(id=ID, vectors=other(5))]
        ask = q.UpdatePointVectors(collection_name=collection, points=points, update_filter=condition, wait=True)
        place.client.points.UpdateVectors(ask)

    updating("another")
    assert now(place, collection) == content(vectors(1).vectors.vectors)
    updating("number 1")
    assert now(place, collection) == content(other(5).vectors.vectors)
    # The same update again, with its entry still in the ring from the first time.
    update_through(place, collection, 6)
    updating("another")
    assert now(place, collection) == content(other(6).vectors.vectors)


@pytest.mark.slow
def test_two_replicas_under_load(engine: Server, place: Guarded, collection: str, tmp_path: Path) -> None:
    """Two proxies update and upsert the same few points at once; each point stays readable all the while."""
    assert place.proxy.policy is not None
    assert place.proxy.key_file is not None
    failures: list[BaseException] = []
    with guarded(engine, tmp_path, place.proxy.policy.read_text(), place.proxy.key_file) as second:

        def write(through: Guarded, start: int) -> None:
            try:
                for number in range(start, start + 60):
                    if number % 10 == 9:
                        point = q.PointStruct(id=ID, vectors=other(number), payload=payload(1))
                        through.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=[point]))
                    else:
                        update_through(through, collection, number)
            except Exception as failure:  # noqa: BLE001 - shown by the assertion below
                failures.append(failure)

        threads = [threading.Thread(target=write, args=pair) for pair in ((place, 0), (second, 1000), (second, 2000))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        possible = [content(other(n + i).vectors.vectors) for n in (0, 1000, 2000) for i in range(60)]
        for through in (place, second):
            found = now(through, collection)
            assert all(found[name] in [one[name] for one in possible] for name in NAMES)
