"""What one expression may ask: its collection's fields and modes, and the template values that came with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields, Keys, Leaf
from vecguard.front.milvus.expression.columns import Columns, Place, place_of
from vecguard.front.milvus.expression.tree import Compare, Literal, Literals, Member, Node, Placeholder, Ref
from vecguard.front.milvus.expression.values import Value, constant, leaves, template_value, written
from vecguard.front.milvus.proto import s
from vecguard.policy.model import FieldMode
from vecguard.policy.paths import render as written_path

# Each costs microseconds on the event loop; lists, types and readings multiply.
_MOST_ASKED: Final = 100_000
# What no value is at rest, for where there are no keys that one could be under: a test of nothing would be no test.
_NO_TOKEN: Final = Literal("")


class Unanswerable(InvalidArgument):
    """A field's mode cannot answer: the text names field, mode and policy entry, and stands for itself."""


@dataclass(slots=True)
class Scope:
    """One expression's surroundings; `kept` gathers the template values that travel on with it.

    `asked` counts the leaves that it asks for.
    """

    columns: Columns
    fields: Fields
    templates: Mapping[str, s.TemplateValue]
    inline: bool
    kept: dict[str, s.TemplateValue] = field(default_factory=dict)
    asked: int = 0

    def place(self, ref: Ref) -> Place:
        """Where a reference points to.

        Raises:
            InvalidArgument: there is no such field, or it holds vectors.
        """
        place = place_of(ref, self.columns)
        if place.column is not None and place.column.vector:
            raise InvalidArgument(
                f"comparisons between {place.column.type_name} and other types are not supported: "
                f"the field {place.column.name} can only be asked whether it is null"
            )
        return place

    def narrowed(self, operands: Iterable[Node]) -> Scope:
        """The surroundings of a conjunction: where one of its conditions says whose rows they are, others need not."""
        for node in operands:
            match node:
                case Compare("==", Ref() as ref, other) | Compare("==", other, Ref() as ref):
                    asked = self._asked_of(ref, other)
                case Member(Ref() as ref, other, False):
                    asked = self._asked_of(ref, other)
                case _:
                    continue
            if asked is not None:
                return replace(self, fields=self.fields.narrowed((ref.root,), asked))
        return self

    def _asked_of(self, ref: Ref, other: Node) -> list[Leaf] | None:
        """What a condition names of the column that says whose a row is; None where it is about something else."""
        if (ref.root,) != self.fields.narrows_by or ref.steps:
            return None
        try:
            place, value = place_of(ref, self.columns), constant(other, self.templates)
            values = value if isinstance(value, list) else [] if value is None else [value]
            return [leaf for one in values for leaf in leaves(one, place.data_type)] or None
        except InvalidArgument:  # it is looked at, and refused, in its own place
            return None

    def is_plain(self, place: Place) -> bool:
        """Whether every value that may lie at the place is stored as it came."""
        return all(self._mode(place, keys) == "plain" for keys in place.readings)

    def is_range(self, place: Place) -> bool:
        """Whether what lies at the place has labels that answer ranges.

        Raises:
            Unanswerable: what may lie there has them in one reading of its path, and in another not.
        """
        modes = {self._mode(place, keys) for keys in place.readings}
        if "range" not in modes:
            return False
        if len(place.readings) > 1:
            shown = written_path(place.readings[0])
            raise Unanswerable(f"a position in a list cannot be asked for within field `{shown}`: its mode is range")
        return True

    def demand_plain(self, place: Place, what: str) -> None:
        """Go on only where the place is plain.

        Raises:
            Unanswerable: it is not; names field, mode and policy entry.
        """
        self._demand(place, ("plain",), what)

    def refusal(self, place: Place, what: str) -> InvalidArgument:
        """The error of a place that would have to be plain for `what`, and is not."""
        try:
            self.demand_plain(place, what)
        except Unanswerable as refusal:
            return refusal
        raise AssertionError("a plain place can answer everything")

    def demand_searchable(self, place: Place, what: str) -> None:
        """Go on only where the place, which is not plain, can be asked for equality.

        Raises:
            Unanswerable: it cannot; names field, mode and policy entry.
        """
        self._demand(place, ("plain", "searchable"), what)
        # One of two readings is plain: no list of values equals what lies at both.
        self._demand(place, ("searchable",), what)

    def _demand(self, place: Place, allowed: tuple[FieldMode, ...], what: str) -> None:
        for keys in place.readings:
            if self._mode(place, keys) not in allowed:
                raise self._refusal(keys, allowed, what)

    def tokens(self, place: Place, values: Iterable[Value], data_type: int) -> tuple[Literal, ...]:
        """What equals any of the values at a searchable place, as it is stored; `data_type` is that of the values.

        Raises:
            InvalidArgument: values of that type are not compared with such a constant, or there are too many.
        """
        asked = [leaf for value in values for leaf in leaves(value, data_type)]
        self.count(len(asked) * len(place.readings))
        found = dict.fromkeys(
            token for leaf in asked for keys in place.readings for token in self.fields.tokens(keys, leaf)
        )
        if asked and not found:
            return (_NO_TOKEN,)
        return tuple(Literal(token) for token in found)

    def count(self, asked: int) -> None:
        """Take note of values, or labels, that the expression asks for.

        Raises:
            InvalidArgument: there are too many.
        """
        self.asked += asked
        if self.asked > _MOST_ASKED:
            raise InvalidArgument(f"more than {_MOST_ASKED} values of protected fields are asked for")

    def placeholder(self, node: Placeholder) -> Node:
        """A placeholder next to plain fields only: its value travels on, or is written out."""
        if self.inline:
            return written(template_value(node.name, self.templates))
        # Looked at even where it only travels on: nothing is sent that was not understood.
        template_value(node.name, self.templates)
        self.kept[node.name] = self.templates[node.name]
        return node

    def listed(self, tokens: tuple[Literal, ...], source: Node) -> Node:
        """A list of tokens: a template value where the client sent one in its place, as servers read those faster."""
        if self.inline or not isinstance(source, Placeholder):
            return Literals(tokens)
        name = next(
            name
            for number in range(len(self.templates) + len(self.kept) + 1)
            if (name := f"{source.name}_{number}") not in self.templates and name not in self.kept
        )
        data = s.StringArray(data=[str(token.value) for token in tokens])
        self.kept[name] = s.TemplateValue(array_val=s.TemplateArrayValue(string_data=data))
        return Placeholder(name)

    def _mode(self, place: Place, keys: Keys) -> FieldMode:
        if place.column is not None and place.column.primary_key:
            return "plain"
        return self.fields.mode(keys)

    def _refusal(self, keys: Keys, allowed: tuple[FieldMode, ...], what: str) -> InvalidArgument:
        if any('"' in key or "\\" in key for key in keys):
            # No payload path, and so no entry of a policy, can name such a key.
            needed = " or ".join(allowed)
            return Unanswerable(
                f"{what} cannot be answered on field `{keys[0]}` and what is in it: it needs mode {needed}"
            )
        try:
            self.fields.require(written_path(keys[-1:]), keys[:-1], allowed, what)
        except InvalidArgument as refusal:
            return Unanswerable(str(refusal))
        raise AssertionError("a mode that was not allowed is allowed")
