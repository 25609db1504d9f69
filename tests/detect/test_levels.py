"""What detectors say of made-up traffic is what they said when it was recorded: faster code says nothing else.

`tests/vectors/levels.json` was written by the detectors before they shared their tables and bitmaps. Where a formula is
changed on purpose, write its detector's numbers anew: `python -m detect.test_levels`, in the folder `tests`.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from detect.observations import observed
from vecguard.detect.detector import Detector
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.registry import DETECTORS

FILE = Path(__file__).parents[1] / "vectors" / "levels.json"
RECORDED = [
    "anchored",
    "buckets",
    "canaries",
    "coverage",
    "enumeration",
    "insertion",
    "membership",
    "near-duplicates",
    "novelty",
    "pinned",
    "walk",
]
BATCHES = (1, 7, 23)
RECORDS = 1_500


def traffic(count: int) -> list[Observation]:
    """Every kind of call, by a generator whose numbers are the same everywhere."""
    random, now, seen = Random(11), 1_800_000_000.0, list[Observation]()
    hashed = [random.getrandbits(64) for _ in range(RECORDS)]

    def sketches(near: float, *centres: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        rows = [
            [Random(at * 64 + place).gauss(0, 1) + near * random.gauss(0, 1) for place in range(SKETCH_DIMS)]
            for at in centres
        ]
        return np.array(rows, np.float32).reshape(len(centres), SKETCH_DIMS)

    for at in range(count):
        now += random.choice([0.0, 1.0, 1.0, 30.0, 4_000.0])
        queries = random.choice([1, 1, 1, 1, 2, 5, 0])
        found = random.choice([0, 3, 5, 10, 10, 25]) * max(queries, 1)
        centre = at // 40 if random.random() < 0.8 else random.randrange(8)
        ids = np.array([hashed[(97 * centre + random.randrange(40 + at)) % RECORDS] for _ in range(found)], np.uint64)
        rows = sorted(random.randrange(queries) for _ in range(found)) if queries else [-1] * found
        if random.random() < 0.1:
            random.shuffle(rows)
        scores = [random.choice([1.0, 0.9, 0.7]) - 0.01 * place for place in range(found)]
        operation = random.choice(["search"] * 7 + ["scroll", "retrieve", "write"])
        vectors = found if random.random() < 0.3 else 0
        written = random.randrange(1, 40) if operation == "write" else 0
        seen.append(
            observed(
                time=now,
                operation=operation,
                queries=sketches(random.choice([0.0, 0.02, 0.02, 0.5]), *[centre] * queries),
                ids=ids,
                query_of=np.array(rows, np.int32),
                scores=np.array(scores if random.random() < 0.9 else [np.nan] * found, np.float32),
                vectors=sketches(0.01, *[centre] * vectors),
                vector_ids=ids[:vectors],
                written=np.array([hashed[random.randrange(RECORDS)] for _ in range(written)], np.uint64),
                left=frozenset(random.choice([("scores",), ("scores", "payload"), ("vectors", "payload")])),
                limit=random.choice([10, 10, 600]),
                offset=random.choice([0, 0, 0, 150]),
                filter_ids=random.choice([0, 0, 0, 1, 3]),
                filter_shape=random.choice([0, 0, 7]),
                records=random.choice([0, RECORDS, RECORDS]),
                canaries=np.array([random.randrange(512)] * random.choice([0, 0, 1]), np.uint16),
                planted=64,
            )
        )
    return seen


def levels(detector: Detector, seen: list[Observation], batch: int) -> list[float]:
    """The levels after each batch."""
    state = detector.fresh()
    return [detector.update(state, seen[start : start + batch]).level for start in range(0, len(seen), batch)]


@pytest.fixture(scope="module")
def seen() -> list[Observation]:
    return traffic(160)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("batch", BATCHES)
def test_levels_are_those_that_were_recorded(seen: list[Observation], name: str, batch: int) -> None:
    recorded = json.loads(FILE.read_text())[name][str(batch)]
    found = levels(DETECTORS.load(name), seen, batch)
    np.testing.assert_allclose(found, recorded, rtol=1e-5, atol=1e-7)
    assert max(found) > 0


if __name__ == "__main__":
    calls = traffic(160)
    recorded = {
        name: {batch: [round(level, 7) for level in levels(DETECTORS.load(name), calls, batch)] for batch in BATCHES}
        for name in RECORDED
    }
    FILE.write_text(json.dumps(recorded, indent=None, separators=(", ", ": ")).replace('}, "', '},\n "') + "\n")
