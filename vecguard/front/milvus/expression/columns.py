"""What the rewriting of filter expressions has to know of a collection's schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.fields import Keys
from vecguard.front.milvus.expression.tree import Ref
from vecguard.front.milvus.proto import DATA_TYPES, TYPE_NAMES

META: Final = "$meta"
HIDDEN: Final = "_vg"
_LONGEST_AMBIGUOUS: Final = 4
_FIRST_VECTOR: Final = DATA_TYPES["BinaryVector"]
_JSON: Final = DATA_TYPES["JSON"]
_ARRAY: Final = DATA_TYPES["Array"]


@dataclass(frozen=True, slots=True)
class Column:
    """One field of the schema as the client created it.

    `stored` is its name at rest. `data_type` and `element_type` are numbers of `schema_pb2.DataType`. A primary key is
    stored as it is, whatever the policy's rule for its name.
    """

    name: str
    stored: str
    data_type: int
    element_type: int = 0
    primary_key: bool = False

    @property
    def vector(self) -> bool:
        """Whether it holds vectors, or structs of them: no scalar filter reads it."""
        return self.data_type >= _FIRST_VECTOR

    @property
    def type_name(self) -> str:
        """Milvus' name of its type."""
        return TYPE_NAMES.get(self.data_type, "None")


@dataclass(frozen=True, slots=True)
class Columns:
    """The client's fields by name; `dynamic` says whether other names are keys of `$meta`."""

    by_name: Mapping[str, Column]
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a `Ref` points to: `stored` is the same place at rest.

    `readings` are the keys that it may have. They are several where a step is a number, as Milvus takes `["0"]` and
    `[0]` alike for a key or an index, whichever is there.
    """

    stored: Ref
    column: Column | None
    readings: tuple[Keys, ...]
    data_type: int

    @property
    def json(self) -> bool:
        """Whether values there have a type of their own."""
        return self.data_type == _JSON


def _readings(head: Keys, steps: tuple[str | int, ...]) -> tuple[Keys, ...]:
    options: list[tuple[Keys, ...]] = []
    for step in steps:
        text = str(step)
        numeric = text == "0" or (text.isascii() and text.isdigit() and text[0] != "0")
        options.append(((), (text,)) if numeric else ((text,),))
    if sum(len(option) > 1 for option in options) > _LONGEST_AMBIGUOUS:
        raise InvalidArgument(f"a path has at most {_LONGEST_AMBIGUOUS} indices here")
    return tuple(head + tuple(key for keys in choice for key in keys) for choice in product(*options))


def place_of(ref: Ref, columns: Columns) -> Place:
    """The place that a reference names.

    Raises:
        InvalidArgument: there is none, it is hidden, or a field of its type has no places in it; in Milvus' words.
    """
    column = columns.by_name.get(ref.root)
    if column is None:
        return _dynamic_place(ref, columns)
    if ref.root.startswith(HIDDEN):
        raise InvalidArgument(f"field {ref.root} not exist")
    stored = Ref(column.stored, ref.steps)
    if column.data_type == _JSON:
        return Place(stored, column, _readings((column.name,), ref.steps), _JSON)
    if not ref.steps:
        return Place(stored, column, ((column.name,),), column.data_type)
    if column.data_type != _ARRAY:
        raise InvalidArgument(f"{column.type_name} data type not supported accessed with []")
    if len(ref.steps) > 1 or not isinstance(ref.steps[0], int):
        raise InvalidArgument("can only access array field with integer index")
    return Place(stored, column, ((column.name,),), column.element_type)


def _dynamic_place(ref: Ref, columns: Columns) -> Place:
    steps = ref.steps if ref.root == META else (ref.root, *ref.steps)
    if not steps or not isinstance(steps[0], str):
        raise InvalidArgument(f'a condition on {META} needs a key, as in {META}["a"]')
    if steps[0].startswith(HIDDEN) or not columns.dynamic:
        raise InvalidArgument(f"field {ref.root if ref.root != META else steps[0]} not exist")
    return Place(ref, None, _readings((steps[0],), steps[1:]), _JSON)
