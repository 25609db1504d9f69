"""What holds of every registered detector: its name, its bound whatever is observed, and its state as plain arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detect.observations import observed, sketches
from detect.traffic import RECORDS, Desk, questions, told
from vecguard.detect.codec import open_states, pack_states
from vecguard.detect.detector import Detector, State
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.thresholds import FILE
from vecguard.registry import DETECTORS

# With what numpy and dicts add, 10,000 principals fit in 500 MB; benchmarks/detection measures it.
MOST_BYTES = 43_600


def size(state: State) -> int:
    return sum(array.nbytes for array in state.values())


def hostile(seed: int) -> list[Observation]:
    """Calls as large, as odd and as varied as they get, with numbers that are none."""
    random = np.random.default_rng(seed)
    seen = []
    for at in range(60):
        rows, found = int(random.integers(0, 40)), int(random.integers(0, 3_000))
        operation = str(random.choice(["search", "retrieve", "scroll", "write", "delete", "count", "other"]))
        queries = random.standard_normal((rows, SKETCH_DIMS)).astype(np.float32)
        queries[: rows // 4] = random.choice([np.nan, np.inf, 0.0, 1e30])
        seen.append(
            observed(
                time=float(random.choice([0.0, -5.0, 1e6 + at, 1e12])),
                operation=operation,
                queries=queries,
                ids=random.integers(0, 2**64 - 1, found, dtype=np.uint64),
                query_of=random.integers(-1, max(rows, 1), found).astype(np.int32) if rows else np.full(found, -1),
                scores=(random.standard_normal(found) * random.choice([1.0, 1e30, np.nan])).astype(np.float32),
                vectors=random.standard_normal((found, SKETCH_DIMS)).astype(np.float32),
                vector_ids=random.integers(0, 2**64 - 1, found, dtype=np.uint64),
                written=random.integers(0, 2**64 - 1, found, dtype=np.uint64),
                left=frozenset({"payload", "scores", "vectors"}),
                limit=int(random.integers(0, 2**31)),
                filter_ids=int(random.integers(0, 6)),
                filter_shape=int(random.integers(0, 2)),
                records=int(random.choice([0, 1, 10_000])),
                canaries=random.integers(0, 2**16, int(random.integers(0, 600)), dtype=np.uint16),
                planted=int(random.choice([0, 1, 256])),
            )
        )
    return seen


@pytest.fixture(params=DETECTORS.kinds)
def detector(request: pytest.FixtureRequest) -> Detector:
    return DETECTORS.load(request.param)


def test_all_states_together_are_small() -> None:
    detectors = [DETECTORS.load(kind) for kind in DETECTORS.kinds]
    assert [one.name for one in detectors] == list(DETECTORS.kinds)
    assert sum(one.most_bytes for one in detectors) <= MOST_BYTES


def test_each_has_a_threshold_and_each_threshold_a_detector() -> None:
    assert sorted(json.loads(Path(FILE).read_text())["detectors"]) == sorted(DETECTORS.kinds)


def test_a_state_never_outgrows_its_bound_and_levels_stay_numbers(detector: Detector) -> None:
    state = detector.fresh()
    shapes = {name: (array.shape, array.dtype) for name, array in state.items()}
    assert size(state) == detector.most_bytes
    for seed in range(3):
        evidence = detector.update(state, hostile(seed))
        assert np.isfinite(evidence.level)
        assert evidence.level >= 0
        assert evidence.reason
    assert {name: (array.shape, array.dtype) for name, array in state.items()} == shapes


def test_an_odd_query_does_not_blind_it(detector: Detector) -> None:
    odd = observed(queries=np.full((1, SKETCH_DIMS), np.nan, np.float32), time=1_800_000_000.0)
    state = detector.fresh()
    detector.update(state, [odd])
    assert all(np.isfinite(array.astype(np.float64)).all() for array in state.values())


def test_a_state_goes_on_after_it_was_stored(detector: Detector) -> None:
    desk = Desk()
    seen = [*questions(desk, 30), desk.write([1, 2]), desk.read("scroll", range(50), vectors=True)]
    later = [*questions(desk, 20), desk.read("retrieve", [1, 2], vectors=True)]
    kept = detector.fresh()
    told(detector, seen, state=kept)
    opened = open_states(pack_states({detector.name: kept}))[detector.name]
    assert {name: array.dtype for name, array in opened.items()} == {name: array.dtype for name, array in kept.items()}
    assert told(detector, later, state=opened) == told(detector, later, state=kept)


def test_batches_of_any_size_tell_the_same(detector: Detector) -> None:
    desk = Desk()
    seen = [*questions(desk, 60), desk.read("scroll", range(100), vectors=True), *questions(desk, 40)]
    levels = [told(detector, seen, batch=batch).level for batch in (1, 7, 101)]
    # What repeats within a batch is known exactly, from batch to batch by a Bloom filter that errs in some percent.
    np.testing.assert_allclose(levels, levels[0], rtol=0.1, atol=1e-3)


def test_one_batch_is_as_its_calls_one_by_one(detector: Detector) -> None:
    desk = Desk(3)
    seen: list[Observation] = []
    for record in range(12):
        seen += questions(desk, 4)
        seen += [desk.write([RECORDS + record]), desk.read("retrieve", [RECORDS + record, record], vectors=True)]
        seen.append(desk.search(desk.vectors[record], limit=5, vectors=True)[0])
        seen.append(desk.search(desk.vectors[7 * record : 7 * record + 3], limit=4, vectors=True)[0])
        seen += [desk.search(desk.question(7), limit=3)[0], desk.search(desk.direction(), only=(3, record))[0]]
    one, each = (told(detector, seen, batch=batch) for batch in (len(seen), 1))
    # Fading is reckoned by the batch (a day's half-life within two minutes); 1 in 100 by the Bloom filters' errors.
    assert one.level == pytest.approx(each.level, rel=0.012, abs=1e-6)


def test_nothing_is_said_of_nothing(detector: Detector) -> None:
    assert detector.update(detector.fresh(), []).level == 0
    quiet = [observed(operation="count", records=RECORDS), observed(operation="other", queries=sketches(1.0))]
    assert detector.update(detector.fresh(), quiet).level < 0.05
