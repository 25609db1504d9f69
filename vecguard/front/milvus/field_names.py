"""Names of dynamic fields and of keys in JSON on their way to the database and back, where the policy says
`payload.hash_names`. Names of columns are the schema, and stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import UNREADABLE_NAME, Keys, Names
from vecguard.front.milvus import json_values
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import write_ref
from vecguard.front.milvus.expression.tree import Ref
from vecguard.front.milvus.layout import JSON, META, Layout, is_hidden, label_field
from vecguard.front.milvus.outputs import aggregate_of
from vecguard.front.milvus.proto import c, m, s

_STARS: Final = frozenset({"*", "%", META})
_BY_FIELDS: Final = frozenset({"group_by_fields", "order_by_fields"})
# A name in a map: the one that takes its place, and the one in clear.
_Turn: TypeAlias = Callable[[Keys, str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The names of one collection, both ways."""

    names: Names
    layout: Layout

    def _hide(self, parent: Keys, name: str) -> tuple[str, str]:
        return self.names.hidden(parent, name), name

    def _show(self, parent: Keys, name: str) -> tuple[str, str]:
        clear = self.names.shown(parent, name)
        return clear, clear

    def _is_dynamic(self, name: str) -> bool:
        """Whether a name in an expression or a list of fields is one of a dynamic field (or its labels)."""
        ours = {*self.layout.hidden, *(label_field(column) for column in self.layout.labelled)}
        return self.layout.dynamic and name not in self.layout.columns and name not in ours and name != META

    def turn_column(self, data: s.FieldData, *, back: bool = False) -> None:
        """Turn the names within a column's JSON values, in place; other columns stay.

        Raises:
            InvalidArgument: it holds no JSON.
            Unreadable: likewise, in an answer.
        """
        column = self.layout.columns.get(data.field_name)
        if not data.is_dynamic and (column is None or column.role != "json"):
            return
        if data.type != JSON or data.scalars.WhichOneof("data") != "json_data":
            return
        keys: Keys = () if data.is_dynamic else (data.field_name,)
        turn = self._show if back else self._hide
        contents = [_turned(content, keys, turn, back=back) for content in data.scalars.json_data.data]
        del data.scalars.json_data.data[:]
        data.scalars.json_data.data.extend(contents)

    def ref(self, ref: Ref) -> Ref:
        """A place that an expression names, as it is stored. A step in quotes is a key, a number a place in a list."""
        column = self.layout.columns.get(ref.root)
        if column is not None:
            return Ref(ref.root, self._steps((ref.root,), ref.steps)) if column.role == "json" else ref
        if ref.root == META:
            return Ref(META, self._steps((), ref.steps))
        if not self._is_dynamic(ref.root):
            return ref
        root, *steps = self._steps((), (ref.root, *ref.steps))
        return Ref(str(root), tuple(steps))

    def _steps(self, keys: Keys, steps: Iterable[str | int]) -> tuple[str | int, ...]:
        found: list[str | int] = []
        for step in steps:
            if isinstance(step, int):
                found.append(step)
            else:
                found.append(self.names.hidden(keys, step))
                keys = (*keys, step)
        return tuple(found)

    def output(self, name: str) -> str:
        """An output field as it is stored.

        Raises:
            InvalidArgument: an aggregation over a dynamic field, whose answer could not be told apart.
        """
        aggregate = aggregate_of(name)
        if aggregate is not None:
            if aggregate[1] not in _STARS and self._is_dynamic(aggregate[1]):
                raise InvalidArgument(f"{name}: dynamic fields whose names are hidden cannot be aggregated")
            return name
        if name in _STARS or is_hidden(name) or name in self.layout.columns:
            return name
        ref = parse(name)
        if not isinstance(ref, Ref):
            raise InvalidArgument(f"field {name} not exist: invalid parameter")
        return write_ref_of(self.ref(ref))

    def shown_output(self, name: str) -> str:
        """An output field of an answer as the client named it."""
        if not self._is_dynamic(name):
            return name
        shown = self.names.shown((), name)
        return name if shown.startswith(UNREADABLE_NAME) else shown

    def require_columns(self, pair: c.KeyValuePair) -> None:
        """Refuse to group or order by dynamic fields.

        Raises:
            InvalidArgument: a query parameter does.
        """
        if pair.key in _BY_FIELDS:
            for name in (part.partition(":")[0].strip() for part in pair.value.split(",")):
                if name and name not in self.layout.columns:
                    raise InvalidArgument(f"{pair.key}: field {name} has a hidden name, so nothing is grouped by it")

    def require_column_index(self, request: m.CreateIndexRequest) -> None:
        """Refuse an index on a path within JSON: its name and parameters would tell of names.

        Raises:
            InvalidArgument: it is one.
        """
        column = self.layout.columns.get(request.field_name)
        if column is None or column.role == "json":
            raise InvalidArgument(
                f"an index on {request.field_name}: where names are hidden, only columns can have one: "
                "invalid parameter"
            )


def write_ref_of(ref: Ref) -> str:
    """A place as an expression names it."""
    return write_ref(ref.root) + "".join(f"[{json.dumps(step)}]" for step in ref.steps)


def _turned(content: bytes, keys: Keys, turn: _Turn, *, back: bool) -> bytes:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        # Milvus Lite answers a value that is one text without its quotation marks; there are no names in it.
        if back and not content.startswith((b"{", b"[")):
            return content
        raise Unreadable from None
    return json_values.render(_walk(value, keys, turn))


def _walk(value: Any, keys: Keys, turn: _Turn) -> Any:
    if isinstance(value, dict):
        turned = {}
        for key, item in value.items():
            name, clear = turn(keys, key)
            turned[name] = _walk(item, (*keys, clear), turn)
        return turned
    if isinstance(value, list):
        return [_walk(item, keys, turn) for item in value]
    return value
