"""Memory of what was met: never forgets the latest, errs as often as its formula says, and never fills up."""

from __future__ import annotations

import numpy as np

from vecguard.detect.statistics import seen


def hashes(count: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(0, 2**64 - 1, count, dtype=np.uint64)


def test_the_latest_are_known_whatever_came_before() -> None:
    memory = seen.empty(512)
    for seed in range(20):
        seen.met_before(memory, hashes(100, seed))
        latest = np.concatenate([hashes(100, max(seed - back, 0)) for back in range(5)])
        assert seen.known(memory, latest).all()


def test_wrong_memories_are_as_rare_as_the_formula_says() -> None:
    memory = seen.empty(2_048)
    seen.met_before(memory, hashes(2_000))
    wrong = seen.known(memory, hashes(40_000, seed=1)).mean()
    expected = (1 - np.exp(-seen.PROBES * 2_000 / (2_048 * seen.BITS_PER_ID))) ** seen.PROBES
    assert abs(wrong - expected) < 0.004


def test_it_stays_of_use_however_much_is_added() -> None:
    memory = seen.empty(512)
    size = memory.nbytes
    for seed in range(100):
        seen.met_before(memory, hashes(1_000, seed))
    assert memory.nbytes == size
    assert seen.known(memory, hashes(10_000, seed=1_000)).mean() < 0.06  # two full generations at most
    one_batch = seen.empty(512)
    seen.met_before(one_batch, hashes(50_000))
    assert seen.known(one_batch, hashes(10_000, seed=1)).mean() < 0.06


def test_repeats_within_a_batch_are_met_and_within_a_call_are_not() -> None:
    twice = np.array([7, 8, 7], np.uint64)
    assert seen.met_before(seen.empty(64), twice).tolist() == [False, False, True]
    assert seen.met_before(seen.empty(64), twice, np.array([0, 0, 0])).tolist() == [False, False, False]
    assert seen.met_before(seen.empty(64), twice, np.array([0, 0, 1])).tolist() == [False, False, True]


def test_calls_of_a_batch_give_what_calls_one_by_one_give() -> None:
    ids = np.random.default_rng(5).integers(1, 400, 2_000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    call = np.repeat(np.arange(200), 10)
    whole, single = seen.empty(4_096), seen.empty(4_096)
    at_once = seen.met_before(whole, ids, call)
    one_by_one = [seen.met_before(single, ids[call == one], call[call == one]) for one in range(200)]
    assert np.array_equal(at_once, np.concatenate(one_by_one))


def test_what_is_met_again_is_carried_into_the_next_generation() -> None:
    memory, regular = seen.empty(128), hashes(10, seed=9)
    for seed in range(50):
        assert seed == 0 or seen.known(memory, regular).all()
        seen.met_before(memory, np.concatenate([regular, hashes(50, seed)]))


def bit_by_bit(memory: list[set[int]], size: int, ids: list[int], calls: list[int], full: float) -> list[bool]:
    """The two generations as sets of places, one hash after the other in steps of a quarter of a generation."""
    step = int(-np.log1p(-full) / seen.PROBES * size * 8) // 4
    first = {one: calls[at] for at, one in reversed(list(enumerate(ids)))}
    distinct, held = list(dict.fromkeys(ids)), {}
    for start in range(0, len(distinct), step):
        places = {
            one: [((one & 0xFFFFFFFF) + probe * (one >> 32 | 1)) % 2**64 % (size * 8) for probe in range(seen.PROBES)]
            for one in distinct[start : start + step]
        }
        held |= {one: any(generation.issuperset(at) for generation in memory) for one, at in places.items()}
        memory[0] |= {place for at in places.values() for place in at}
        if len(memory[0]) >= full * size * 8:
            memory[1], memory[0] = memory[0], set()
    return [held[one] or first[one] < call for one, call in zip(ids, calls, strict=True)]


def test_it_is_what_two_sets_of_places_say() -> None:
    random = np.random.default_rng(6)
    for fill in (seen.FULL, 0.08):
        memory, slow = seen.empty(128), [set[int](), set[int]()]
        pool = hashes(600, seed=12)
        for _ in range(120):
            ids = random.choice(pool, int(random.integers(0, 90)))
            call = np.sort(random.integers(0, 9, ids.size)) if random.integers(2) else np.arange(ids.size)
            found = seen.met_before(memory, ids, call, fill=fill)
            assert found.tolist() == bit_by_bit(slow, memory.shape[1], ids.tolist(), call.tolist(), fill)
            set_bits = np.flatnonzero(np.unpackbits(memory[0], bitorder="little"))
            assert set(set_bits.tolist()) == slow[0]
