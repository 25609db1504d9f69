"""One collection's payload fields: which mode each has, and sealing or opening its leaves.

A field is named by its keys, list markers left out. Its sealing path is the JSON Pointer of those keys (RFC 6901),
which is unambiguous for any key text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.policy.model import LABELLED, RESERVED_KEYS, FieldMode, PayloadRule
from vecguard.policy.paths import parse, render
from vecguard.ranking.datetime_text import microseconds
from vecguard.seal.dyadic import Interval
from vecguard.seal.fields import FieldSealer, bound_to, fresh_nonces
from vecguard.seal.labels import RangeLabels, WordLabels
from vecguard.seal.names import NameCipher

Leaf: TypeAlias = bool | int | float | str
Keys: TypeAlias = tuple[str, ...]

LABELS: Final = RESERVED_KEYS
"""What the key of a field's labels begins with, which lie beside its value; the field's own key follows."""

UNREADABLE_NAME: Final = "\x00"
"""What marks the name of a stored field that does not authenticate; no name of a client's begins so."""

_GEO: Final = frozenset({"lon", "lat"})
# Keys come from clients' payloads, so what is remembered of them is bounded.
_REMEMBERED: Final = 2048


def pointer(keys: Keys) -> str:
    """JSON Pointer (RFC 6901, section 3) of a field's keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def client_keys(path: str) -> Keys:
    """The keys of a path that a client sent.

    Raises:
        InvalidArgument: it is no path, in Qdrant's words.
    """
    try:
        return parse(path)
    except InvalidArgument:
        raise InvalidArgument(f"Invalid json path: '{path}'") from None


class Names:
    """Field names at rest, where they are hidden. `parent` is always the keys, in clear, of the map that a name is in.

    Labels go on to lie beside their field: the name of `_vgl_` and a field's name is `_vgl_` and that one hidden.
    `lon` and `lat` below a plain field stay, as databases find geographical points by them.
    """

    def __init__(self, cipher: NameCipher, rule: PayloadRule) -> None:
        self._cipher = cipher
        self._rule = rule

    def _stays(self, parent: Keys, name: str) -> bool:
        return name in _GEO and bool(parent) and self._rule.mode_of((*parent, name)) == "plain"

    def hidden(self, parent: Keys, name: str) -> str:
        """The name as it is stored.

        Raises:
            InvalidArgument: it is no valid Unicode, or begins with what marks names that cannot be read.
        """
        if name.startswith(UNREADABLE_NAME):
            raise InvalidArgument("a field's name cannot begin with the character U+0000 where names are hidden")
        if self._stays(parent, name):
            return name
        if name.startswith(LABELS):
            return LABELS + self._cipher.hide(pointer(parent), name.removeprefix(LABELS))
        return self._cipher.hide(pointer(parent), name)

    def shown(self, parent: Keys, stored: str) -> str:
        """The name that `hidden` took; one that was never hidden is marked, so that its record does not open."""
        if self._stays(parent, stored):
            return stored
        labels, name = (LABELS, stored.removeprefix(LABELS)) if stored.startswith(LABELS) else ("", stored)
        try:
            return labels + self._cipher.show(pointer(parent), name)
        except Unreadable:
            return UNREADABLE_NAME + stored


class Field(Protocol):
    """One field, ready for many leaves: `bound` (`bound_to`) and `nonces` (`fresh_nonces`) are those of a write."""

    def protect(self, value: Leaf, bound: bytes, nonces: Iterator[bytes]) -> Leaf:
        """The leaf as it is stored."""

    def reveal(self, stored: Leaf, bound: bytes) -> Leaf:
        """The leaf as the client wrote it."""


class _PlainField:
    """A field that is stored as it came."""

    def protect(self, value: Leaf, bound: bytes, nonces: Iterator[bytes]) -> Leaf:
        return value

    def reveal(self, stored: Leaf, bound: bytes) -> Leaf:
        return stored


_PLAIN: Final = _PlainField()


def _time_of(text: str) -> int | None:
    """Microseconds since the epoch, if a text is a date-time."""
    try:
        return microseconds(text)
    except InvalidArgument:
        return None


Labels: TypeAlias = RangeLabels | WordLabels
LabelsAt: TypeAlias = "Callable[[Keys], Labels | None]"


class Fields:
    """Modes and sealer of one collection's payload. `at(keys)` is the field with these keys."""

    def __init__(
        self,
        rule: PayloadRule,
        sealer: FieldSealer,
        named: Callable[[str], str],
        names: Names | None = None,
        shared: tuple[Keys, FieldSealer] | None = None,
    ) -> None:
        """`shared`: where each tenant has keys of its own, the field that says whose a record is, and what seals it."""
        self.names = names
        """Names at rest; None where they are stored as they are."""
        self._rule = rule
        self._sealer = sealer
        self._shared = shared
        self._named = named
        self.at: Callable[[Keys], Field] = lru_cache(maxsize=_REMEMBERED)(self._field)
        # None where no field has labels, so that a write need not ask for each of its values.
        self.labels_at: LabelsAt | None = (
            lru_cache(maxsize=_REMEMBERED)(self._labels) if LABELLED & set(rule.fields.values()) else None
        )

    narrows_by: Keys | None = None
    """The field by which conditions may say whose records they are about, where that makes a difference."""

    def narrowed(self, keys: Keys, values: Iterable[Leaf]) -> Fields:
        """These fields, as conditions see them beside one by which the field with `keys` is one of `values`."""
        del keys, values
        return self

    def _sealer_of(self, keys: Keys) -> FieldSealer:
        return self._sealer if self._shared is None or keys != self._shared[0] else self._shared[1]

    def _labels(self, keys: Keys) -> Labels | None:
        mode = self._rule.mode_of(keys)
        if mode == "tokens":
            return self._sealer_of(keys).word_labels(pointer(keys))
        return self.range_labels(keys) if mode == "range" else None

    def range_labels(self, keys: Keys) -> RangeLabels:
        """The labels of a field whose mode is `range`."""
        return self._sealer_of(keys).range_labels(pointer(keys), _time_of)

    def equal_labels(self, keys: Keys, value: Leaf) -> list[str]:
        """Labels of what equals `value` in a range field, under every key epoch that may be asked for."""
        return self.range_labels(keys).equal_to(value)

    def labels_within(self, keys: Keys, interval: Interval) -> list[str]:
        """Labels of what lies within an interval in a range field, under every key epoch that may be asked for."""
        return self.range_labels(keys).within(interval)

    def word_labels(self, keys: Keys, text: str) -> list[list[str]]:
        """For each word of a query the labels that it may have in a tokens field."""
        return self._sealer_of(keys).word_labels(pointer(keys)).each_of(text)

    def _field(self, keys: Keys) -> Field:
        mode = self._rule.mode_of(keys)
        if mode == "plain":
            return _PLAIN
        sealer = self._sealer_of(keys)
        return sealer.searchable(pointer(keys)) if mode == "searchable" else sealer.sealed(pointer(keys))

    def mode(self, keys: Keys) -> FieldMode:
        """Mode of the field with these keys."""
        return self._rule.mode_of(keys)

    def protect(self, keys: Keys, value: Leaf, point_id: bytes | None) -> Leaf:
        """The leaf as it is stored. `point_id` is None where a write does not name its points.

        Raises:
            InvalidArgument: it cannot be encoded.
        """
        return self.at(keys).protect(value, bound_to(point_id), fresh_nonces())

    def reveal(self, keys: Keys, stored: Leaf, point_id: bytes) -> Leaf:
        """The leaf as the client wrote it.

        Raises:
            Unreadable: it does not authenticate, or was never sealed although its mode says so.
        """
        return self.at(keys).reveal(stored, bound_to(point_id))

    def tokens(self, keys: Keys, value: Leaf) -> list[str]:
        """What equals `value` at rest in a searchable field: one token per key epoch that may be asked for."""
        return self._sealer_of(keys).tokens_for_filter(pointer(keys), value)

    def require(self, path: str, prefix: Keys, allowed: tuple[FieldMode, ...], what: str) -> FieldMode:
        """The mode of the field at `prefix` + `path`, if it is one that can answer `what`.

        Raises:
            InvalidArgument: the path is malformed, or the mode cannot answer; names field, mode and policy entry.
        """
        keys = (*prefix, *client_keys(path))
        mode = self._rule.mode_of(keys)
        if mode in allowed:
            return mode
        text = render(keys)
        raise InvalidArgument(
            # qdrant-client shows the first 200 characters of a REST error, so the remedy comes early and short.
            f"{what} cannot be answered on field `{text}`: its mode is {mode} ({self._named(text)}); "
            f"it needs mode {' or '.join(allowed)} in the policy (payload.fields), from the collection's creation on"
        )
