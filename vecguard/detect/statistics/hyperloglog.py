"""HyperLogLog: how many distinct 64-bit hashes were added, in half a kilobyte whatever their number.

Flajolet, Fusy, Gandouet & Meunier 2007: the standard error is 1.04 / sqrt(registers). A register has four bits, two
lie in a byte, so one counts no further than 15: with 2**b registers, numbers beyond some 2**(b + 12) come out too low.
Ids are keyed hashes already, so that nobody without the collection's key can choose ids that fall into few registers.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Registers = NDArray[np.uint8]
"""Shape (registers / 2,): the register of an even number in the lower half of a byte, the one after it in the upper."""

_HASH_BITS: Final = 64
_HALF: Final = np.uint8(4)
MOST: Final = 15
"""What a register holds at most."""

# One more than the leading zeros of a hash, by the first MOST - 1 bits behind those that say which register.
_LOOKED_AT: Final = np.uint64(_HASH_BITS - MOST + 1)
_COUNTS: Final = np.array([MOST - value.bit_length() for value in range(1 << (MOST - 1))], np.uint8)
# Of the two registers in each byte: the sum of 2^-count, and how many are empty. Both sums are exact in any order.
_BYTES: Final = 256
_HARMONIC: Final = np.array([2.0 ** -(byte & MOST) + 2.0 ** -(byte >> 4) for byte in range(_BYTES)])
_ZEROS: Final = np.array([(byte & MOST == 0) + (byte >> 4 == 0) for byte in range(_BYTES)])


def empty(bits: int) -> Registers:
    """2**bits empty registers; 4 <= bits <= 16."""
    return np.zeros(1 << (bits - 1), np.uint8)


def add(registers: Registers, hashes: NDArray[np.uint64]) -> None:
    """Add hashes, shape (n,), in place."""
    if hashes.size == 0:
        return
    bits = registers.size.bit_length()
    index = (hashes >> np.uint64(_HASH_BITS - bits)).astype(np.intp)
    counts = counts_of(registers)
    count = _COUNTS[(hashes << np.uint64(bits)) >> _LOOKED_AT]
    if (count > counts[index]).any():
        np.maximum.at(counts, index, count)
        registers[:] = counts[::2] | (counts[1::2] << _HALF)


def counts_of(registers: Registers) -> NDArray[np.uint8]:
    """What each register holds, one a number: shape (registers,)."""
    counts = np.empty(2 * registers.size, np.uint8)
    counts[::2], counts[1::2] = registers & np.uint8(MOST), registers >> _HALF
    return counts


def estimate(registers: Registers) -> float:
    """How many distinct hashes were added, about."""
    if not registers.any():
        return 0.0
    held = np.bincount(registers, minlength=_BYTES)
    size = 2 * registers.size
    alpha = 0.7213 / (1 + 1.079 / size)
    raw = alpha * size * size / float(held @ _HARMONIC)
    zeros = int(held @ _ZEROS)
    if raw <= 2.5 * size and zeros:
        return size * math.log(size / zeros)  # linear counting, better where most registers were met once or never
    return raw


def merged(first: Registers, second: Registers) -> Registers:
    """The registers of both sets together; not to be written to."""
    if not second.any():
        return first
    low = np.maximum(first & np.uint8(MOST), second & np.uint8(MOST))
    return np.asarray(low | (np.maximum(first >> _HALF, second >> _HALF) << _HALF))
