"""What is remembered of principals in process is bounded, and forgetting does not clear a risk."""

import asyncio

import numpy as np
import pytest

from benchmarks.detection_cost import memory as measured
from vecguard.detect.analyst import registered
from vecguard.detect.memory import PROFILE_BYTES, MemoryStore, bytes_of
from vecguard.detect.store import Profile, Spend


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def run(coroutine):
    return asyncio.run(coroutine)


def key(i):
    return (f"p{i}", "c")


def filled(size):
    def change(profile):
        profile.states["d"] = {"a": np.zeros(size, np.uint8)}
        profile.risk, profile.at = 2.0, 5.0

    return change


def test_a_profile_is_changed_and_looked_at():
    store = MemoryStore()
    profile = run(store.change(key(1), filled(10)))
    assert run(store.look([key(1), key(2)])) == [profile, None]
    assert run(store.keys()) == [key(1)]
    assert bytes_of(profile) >= PROFILE_BYTES + 10


def test_states_beyond_the_bound_are_forgotten_oldest_first_and_risks_stay():
    store = MemoryStore(most_bytes=10 * bytes_of(run(MemoryStore().change(key(0), filled(50_000)))))
    for i in range(25):
        run(store.change(key(i), filled(50_000)))
        run(store.change(key(0), filled(50_000)))  # 0 is always the one seen last
    assert store.used_bytes <= 10 * 60_000
    profiles = run(store.look([key(i) for i in range(25)]))
    assert [bool(profile.states) for profile in profiles] == [True] + [False] * 15 + [True] * 9
    assert all(profile.risk == 2.0 for profile in profiles)


def test_one_profile_larger_than_the_bound_is_kept_alone():
    store = MemoryStore(most_bytes=1_000)
    run(store.change(key(1), filled(5_000)))
    assert run(store.look([key(1)]))[0].states


def test_profiles_beyond_their_number_are_forgotten_but_those_with_a_pin():
    store = MemoryStore(most_profiles=3)
    run(store.change(key(0), lambda profile: setattr(profile, "pinned", 0.0)))
    for i in range(1, 9):
        run(store.change(key(i), filled(10)))
    assert set(run(store.keys())) == {key(0), key(7), key(8)}
    assert store.used_bytes == sum(bytes_of(profile) for profile in run(store.look([key(7), key(8)])))


def test_a_bucket_is_drawn_on_exactly_and_fills_evenly():
    clock = Clock()
    store = MemoryStore(clock=clock)

    def draw(amount):
        return run(store.spend(key(1), [Spend("records/3600", 3_600, 3_600, amount)]))

    assert draw(3_600) == [0.0]
    assert draw(1) == [1.0]
    clock.now += 1
    assert draw(1) == [0.0]
    assert draw(5) == [5.0]
    clock.now += 10_000
    assert draw(3_601) == [1.0]  # never more than its capacity
    assert draw(3_600) == [0.0]
    assert run(store.spend(key(2), [Spend("records/3600", 3_600, 3_600, 1)])) == [0.0]


def test_buckets_are_drawn_on_all_or_none():
    store = MemoryStore(clock=Clock())
    small, large = Spend("a", 1, 10, 1), Spend("b", 100, 10, 60)
    assert run(store.spend(key(1), [small, large])) == [0.0, 0.0]
    assert run(store.spend(key(1), [small, large])) == [10.0, 2.0]
    assert run(store.spend(key(1), [Spend("b", 100, 10, 40)])) == [0.0]  # nothing was taken by the refused draw


def test_distinct_values_are_counted_exactly_in_each_period():
    clock = Clock()
    store = MemoryStore(clock=clock)

    def count(*hashes):
        return run(store.count_distinct(key(1), "ids", 100, hashes, 4))

    assert count(1, 2, 2) == 2
    assert count(2, 3) == 3
    assert count(4, 5) == 5  # more than 4: neither is added
    assert count(4) == 4
    clock.now += 100
    assert count(9) == 1


def test_states_of_principals_that_were_away_are_packed_and_come_back_whole():
    store = MemoryStore()
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 4), np.uint64), "c": np.array(7)}

    def begin(profile):
        profile.states = {"one": {key: array.copy() for key, array in arrays.items()}, "none": {}}

    run(store.change(key(0), begin))
    before = store.used_bytes
    for i in range(1, 300):
        run(store.change(key(i), filled(10)))
    (profile,) = run(store.look([key(0)]))
    assert profile.states == {}
    assert store.used_bytes < before + 299 * bytes_of(run(store.change(key(299), lambda profile: None)))
    again = run(store.change(key(0), lambda profile: None))
    assert again.states["none"] == {}
    for name, array in arrays.items():
        kept = again.states["one"][name]
        assert (kept.dtype, kept.shape, kept.tolist()) == (array.dtype, array.shape, array.tolist())
        kept[...] = 1  # and may be written


@pytest.mark.slow
def test_ten_thousand_principals_with_full_windows_take_480_mb():
    """Measured on the registered detectors: 256 principals that call now, and others, whose states are packed."""
    few, more = measured(300), measured(600)
    warm = few["bytes_each"] * 300
    packed = (more["bytes_each"] * 600 - warm) / 300
    assert warm + 9_700 * packed <= 480e6
    assert more["measured_mib"] <= more["reckoned_mib"]
    assert more["reckoned_mib"] / 600 * 10_000 * 2**20 <= 500e6  # with 256 warm ones of 600, and not of 10,000
    assert sum(detector.most_bytes for detector in registered().values()) <= packed


@pytest.mark.parametrize("array", [np.zeros(1_000, np.float64), np.zeros((10, 10), np.uint8)])
def test_bytes_cover_what_arrays_take(array):
    import sys

    assert bytes_of(Profile(states={"d": {"a": array}})) > sys.getsizeof(array)
