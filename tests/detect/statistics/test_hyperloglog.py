"""HyperLogLog: its error is what its formula says, at every size, and its state never grows."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.detect.statistics import hyperloglog


def hashes(count: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(0, 2**64 - 1, count, dtype=np.uint64)


@pytest.mark.parametrize("count", [0, 10, 1_000, 30_000])
@pytest.mark.parametrize("bits", [8, 10])
def test_error_is_within_three_standard_errors(count: int, bits: int) -> None:
    ratios = []
    for seed in range(20):
        registers = hyperloglog.empty(bits)
        hyperloglog.add(registers, hashes(count, seed))
        ratios.append(hyperloglog.estimate(registers) / max(count, 1))
    error = 1.04 / 2 ** (bits / 2)
    expected = 1.0 if count else 0.0
    assert abs(np.mean(ratios) - expected) < 0.02 + error
    assert np.all(np.abs(np.array(ratios) - expected) < 3.5 * error + 0.01)


def test_what_is_added_twice_counts_once() -> None:
    registers, once = hyperloglog.empty(10), hyperloglog.empty(10)
    for _ in range(3):
        hyperloglog.add(registers, hashes(500))
    hyperloglog.add(once, hashes(500))
    assert np.array_equal(registers, once)


def test_merged_registers_are_those_of_the_union() -> None:
    first, second, both = (hyperloglog.empty(10) for _ in range(3))
    hyperloglog.add(first, hashes(700, 1))
    hyperloglog.add(second, hashes(700, 2))
    hyperloglog.add(both, np.concatenate([hashes(700, 1), hashes(700, 2)]))
    assert np.array_equal(hyperloglog.merged(first, second), both)


def test_a_register_holds_the_leading_zeros_and_one() -> None:
    registers = hyperloglog.empty(8)
    # Register 3; after its 8 bits come 5 zeros and a one. And register 4: all zeros after its bits.
    hyperloglog.add(registers, np.array([(3 << 56) | (1 << 50), 4 << 56], np.uint64))
    counts = hyperloglog.counts_of(registers)
    assert counts[3] == 6
    assert counts[4] == hyperloglog.MOST
    assert np.count_nonzero(counts) == 2


def test_two_million_are_still_counted() -> None:
    registers = hyperloglog.empty(10)
    hyperloglog.add(registers, hashes(2_000_000))
    assert 0.88 < hyperloglog.estimate(registers) / 2_000_000 < 1.12


def test_registers_and_estimate_are_those_of_the_formula() -> None:
    for bits, count in ((8, 300), (10, 60_000)):
        added, slow = hashes(count, seed=bits), np.zeros(1 << bits, int)
        for one in added.tolist():
            rest = (one << bits) % 2**64
            register = one >> (64 - bits)
            slow[register] = max(slow[register], min(65 - rest.bit_length(), hyperloglog.MOST))
        registers = hyperloglog.empty(bits)
        for start in range(0, count, 7_000):
            hyperloglog.add(registers, added[start : start + 7_000])
        assert hyperloglog.counts_of(registers).tolist() == slow.tolist()
        size = 1 << bits
        raw = 0.7213 / (1 + 1.079 / size) * size * size / sum(2.0 ** -int(held) for held in slow)
        empty = int((slow == 0).sum())
        linear = size * np.log(size / empty) if empty else raw
        assert hyperloglog.estimate(registers) == (linear if raw <= 2.5 * size else raw)
