"""Days of honest crowds, and attacks that are dealt to accounts beside them."""

from __future__ import annotations

import numpy as np
from small_world import embed, named, sketcher, small_world

from benchmarks.detection.attacks.attack import Public, unit
from benchmarks.detection.benign import FAMILIES
from benchmarks.detection.crowds import CALLERS, crowd_day, dealt, drawn, honest_bank
from benchmarks.detection.days import DAYS_EACH, Honest
from benchmarks.detection.offline import Stored
from benchmarks.detection.record import record_offline
from benchmarks.detection.world import World
from vecguard.detect.small import SMALL


def world() -> World:
    """The small world, with as many records as a crowd is looked at for, and public text that lies near none."""
    small = small_world()
    random = np.random.default_rng(1)
    more = unit(small.documents.vectors[np.arange(2 * SMALL) % 600] + 0.1 * random.standard_normal((2 * SMALL, 48)))
    far = unit(random.standard_normal((300, 48)))
    texts = tuple(f"record {number}" for number in range(2 * SMALL))
    return World(**{**vars(small), "documents": Public(texts, more), "public": Public(small.public.texts, far)})


def test_a_crowd_has_the_calls_of_its_callers() -> None:
    made = world()
    (sessions,) = (family for family in FAMILIES if family.name == "Zipf sessions")
    bank = honest_bank(Honest(made, sketcher(), 5), sessions, range(2))
    assert len(bank) == 2 * DAYS_EACH
    day = drawn("Zipf sessions", 0, bank, seed=5)
    assert (day.callers, day.calls) == (8, sum(map(len, bank)))
    assert day.callers <= CALLERS
    assert day == drawn("Zipf sessions", 0, bank, seed=5)
    assert crowd_day("none", []).worst == 0.0


def test_a_dealt_attack_is_told_and_what_had_left_by_then() -> None:
    made = world()
    recording = record_offline(Stored(made.documents), sketcher(), named("returned-vector walk"), made, embed, 5, 0.4)  # type: ignore[arg-type]
    found = dealt(recording, 64, [], most=400)
    assert found.calls is not None
    assert found.calls < found.of == 120
    assert 0 < found.gone.records < 1
    quiet = dealt(recording, 64, [], most=4)
    assert (quiet.calls, quiet.of) == (None, 4)
