"""Fields that are sealed and can be filtered all the same: keyed labels beside the sealed value.

A label says, to who has no key, only whether it equals another one of the same field. What a filter asks becomes "has
one of these labels", which the database answers from a list of keywords.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from vecguard.keys.key import Key
from vecguard.seal import base64url
from vecguard.seal.dyadic import Interval, Node, Order, cover, in_range_of_keys, nodes_of, number_key, whole_key
from vecguard.seal.leaf import Leaf, encode_leaf
from vecguard.seal.words import words

LABEL_BYTES: Final = 8
_BLOCK: Final = struct.Struct(">BB6xQ")

Clock = Callable[[str], int | None]


class _EpochKeys(NamedTuple):
    nodes: bytes
    """AES-256 key of node labels."""
    equal: hmac.HMAC
    """Begun with the key of equality labels."""


class RangeLabels:
    """Labels of one path whose values are numbers and date-times.

    A node's label is the first 8 bytes of AES-256 of `u8 order || u8 depth || 6 zero bytes || u64 key` (a truncated
    permutation is a PRF: Hall et al., CRYPTO 1998), under the path's subkey; that of a value, the first 8 bytes of
    HMAC-SHA256 of its leaf's bytes. Both as base64url, 11 digits. Two of a field's labels are the same by chance with
    probability 2^-64.
    """

    def __init__(self, epochs: tuple[int, ...], key_of: Callable[[int], Key], clock: Clock) -> None:
        """`epochs`: the live ones, the current one first; `key_of`: the path's subkey; `clock`: date-time texts."""
        self._keys = [_keys(key_of(epoch)) for epoch in epochs]
        self._clock = clock

    def of(self, value: Leaf, *, whole: bool = False) -> list[str]:
        """What lies beside a stored value, under the current epoch: its equality label, then its nodes', if any.

        whole: integers are ordered as integers, not as the doubles that are nearest to them.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        keys = self._keys[0]
        placed = self._placed(value, whole=whole)
        nodes = [] if placed is None else _node_labels(keys, placed[0], nodes_of(placed[1]))
        return [_equal_label(keys, value), *nodes]

    def equal_to(self, value: Leaf) -> list[str]:
        """The labels that values equal to this one have, of the same type: one for each live epoch.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        return [_equal_label(keys, value) for keys in self._keys]

    def within(self, interval: Interval) -> list[str]:
        """Labels of which each value within the interval has exactly one, and no other value any."""
        nodes = cover(interval)
        return [label for keys in self._keys for label in _node_labels(keys, interval.order, nodes)]

    def _placed(self, value: Leaf, *, whole: bool) -> tuple[Order, int] | None:
        """Where a value stands in its order; None where it stands in none."""
        if isinstance(value, bool):
            return None
        if isinstance(value, str):
            time = self._clock(value)
            return None if time is None or not in_range_of_keys(time) else (Order.TIME, whole_key(time))
        if isinstance(value, int) and whole:
            return Order.WHOLE, whole_key(value)
        return None if math.isnan(value) else (Order.NUMBER, number_key(float(value)))


class WordLabels:
    """Labels of one path whose values are texts: one for each distinct word, in an order that says nothing.

    The first 8 bytes of HMAC-SHA256 of the word's UTF-8 under the path's subkey, as base64url.
    """

    def __init__(self, epochs: tuple[int, ...], key_of: Callable[[int], Key]) -> None:
        """`epochs`: the live ones, the current one first; `key_of`: the path's subkey."""
        self._macs = [hmac.new(key_of(epoch).expose(), digestmod=hashlib.sha256) for epoch in epochs]

    def of(self, value: Leaf) -> list[str]:
        """What lies beside a stored value, under the current epoch; nothing where it is no text."""
        if not isinstance(value, str):
            return []
        return sorted(_word_label(self._macs[0], word) for word in words(value))

    def each_of(self, text: str) -> list[list[str]]:
        """For each distinct word of a query the labels that it has, one for each live epoch."""
        return [[_word_label(mac, word) for mac in self._macs] for word in words(text)]


def _word_label(mac: hmac.HMAC, word: str) -> str:
    return _begun(mac, word.encode())  # no half of a surrogate pair is alphabetic


def _begun(mac: hmac.HMAC, content: bytes) -> str:
    copied = mac.copy()
    copied.update(content)
    return base64url.encode(copied.digest()[:LABEL_BYTES])


def _keys(key: Key) -> _EpochKeys:
    return _EpochKeys(
        nodes=key.derive("nodes").expose(),
        equal=hmac.new(key.derive("equal").expose(), digestmod=hashlib.sha256),
    )


def _node_labels(keys: _EpochKeys, order: Order, nodes: Iterable[Node]) -> list[str]:
    blocks = b"".join([_BLOCK.pack(order, depth, key) for depth, key in nodes])
    # Each block is another input of the permutation, so ECB is what is meant here.
    made = Cipher(algorithms.AES256(keys.nodes), modes.ECB()).encryptor().update(blocks)  # noqa: S305
    return [base64url.encode(made[at : at + LABEL_BYTES]) for at in range(0, len(made), _BLOCK.size)]


def _equal_label(keys: _EpochKeys, value: Leaf) -> str:
    return _begun(keys.equal, encode_leaf(value))
