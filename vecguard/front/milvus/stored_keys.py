"""Primary keys on their way to the database and back, where the policy says `ids: encrypted`.

INT64 keys become other numbers, VARCHAR keys other texts. Equality is asked as ever; an order of encrypted keys is not
the client's, so ranges of keys are refused (`require_equality`). But iterators page by `key > last`, and mean no more
by it than "what follows" in the order of the answers, which is that of the stored keys: there it is asked so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus.columns import SLOTS
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.tree import (
    And,
    Compare,
    Comparison,
    Literals,
    Member,
    Node,
    Null,
    Ref,
    children,
)
from vecguard.front.milvus.expression.values import Value, constant, written
from vecguard.front.milvus.layout import INT64, VARCHAR, Column
from vecguard.front.milvus.proto import c, m, s
from vecguard.seal.id_cipher import IdCipher

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_FLIPPED: Final[Mapping[Comparison, Comparison]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
# Comparisons with the ends of all numbers that are equalities.
_ENDS: Final[Mapping[tuple[Comparison, object], tuple[Comparison, Value]]] = {
    ("<", _MOST): ("!=", _MOST),
    ("<", _LEAST + 1): ("==", _LEAST),
    (">=", _LEAST + 1): ("!=", _LEAST),
}
# What is sent for "now, or some moments ago"; a time is far beyond.
_NO_TIME: Final = 2


def encrypted(keys: Sequence[Any], primary: Column, cipher: IdCipher) -> list[Any]:
    """Keys as they are stored.

    Raises:
        InvalidArgument: a text is longer than its column allows, or no valid Unicode.
    """
    if primary.data_type == VARCHAR:
        for row, key in enumerate(keys):
            length = len(str(key).encode("utf-8", "surrogatepass"))
            if length > primary.max_length:
                raise InvalidArgument(
                    f"length of varchar field {primary.name} exceeds max length, row number: {row}, length: {length}, "
                    f"max length: {primary.max_length}: invalid parameter"
                )
        return cipher.encrypt_texts(keys)
    return cipher.encrypt_signed(keys)


def decrypted(keys: Sequence[Any], primary: Column, cipher: IdCipher) -> list[Any]:
    """Stored keys as the client gave them. Raises Unreadable."""
    return cipher.decrypt_texts(keys) if primary.data_type == VARCHAR else cipher.decrypt_signed(keys)


def last_of(keys: Sequence[Any], primary: Column, cipher: IdCipher | None) -> Any:
    """Which of the keys comes last in the database."""
    if cipher is None:
        return max(keys)
    stored = encrypted(keys, primary, cipher)
    return keys[max(range(len(keys)), key=stored.__getitem__)]


# -- in messages -------------------------------------------------------------------------------------------------------


def turn_column(data: s.FieldData, primary: Column, cipher: IdCipher, *, back: bool = False) -> None:
    """Turn the keys in a column, in place; what is no column of keys stays."""
    if data.field_name != primary.name or data.is_dynamic:
        return
    slot = SLOTS[primary.data_type]
    if data.scalars.WhichOneof("data") == slot:
        _turn(getattr(data.scalars, slot).data, primary, cipher, back=back)


def turn_ids(ids: s.IDs, primary: Column, cipher: IdCipher, *, back: bool = False) -> None:
    """Turn listed keys, in place.

    Raises:
        InvalidArgument: they are of another type than the collection's.
        Unreadable: likewise, in an answer.
    """
    kind = ids.WhichOneof("id_field")
    if kind is None:
        return
    if kind != ("str_id" if primary.data_type == VARCHAR else "int_id"):
        if back:
            raise Unreadable
        raise InvalidArgument("ids are of another type than the primary key: invalid parameter")
    _turn(getattr(ids, kind).data, primary, cipher, back=back)


def _turn(held: Any, primary: Column, cipher: IdCipher, *, back: bool) -> None:
    held[:] = (decrypted if back else encrypted)(list(held), primary, cipher)


# -- in expressions ----------------------------------------------------------------------------------------------------


def require_equality(text: str, primary: Column, *, cursor: bool) -> None:
    """Refuse an expression that asks more of the keys than which they are.

    `cursor`: it is one of an iterator, which may ask for what comes after one key.

    Raises:
        InvalidArgument: it does.
    """
    if not text.strip():
        return
    tree = parse(text)
    asked = [node for node in _about(tree, primary) if not _is_equality(node)]
    top = tree.operands if isinstance(tree, And) else (tree,)
    if cursor and len(asked) == 1 and any(asked[0] is part for part in top) and _is_after(asked[0]):
        return
    if asked:
        raise InvalidArgument(
            f"primary keys are encrypted (`ids: encrypted`), so field {primary.name} can only be asked for equality, "
            "with ==, != and in; an iterator goes through rows in an order of its own"
        )


def is_cursor(request: m.QueryRequest) -> bool:
    """Whether a query can be a later page of pymilvus' QueryIterator.

    Its first request, for the time that all others then name, has the client's own expression and asks for one row and
    no field: there a range of keys is the client's.
    """
    given = {pair.key: pair.value for pair in request.query_params}
    if given.get("iterator", "").lower() != "true" or request.guarantee_timestamp <= _NO_TIME:
        return False
    return given.get("limit") != "1" or bool(request.output_fields)


def _about(node: Node, primary: Column) -> Iterator[Node]:
    """The smallest conditions that name the key."""
    if any(isinstance(child, Ref) and child.root == primary.name for child in children(node)):
        yield node
        return
    if isinstance(node, Ref) and node.root == primary.name:
        yield node
        return
    for child in children(node):
        yield from _about(child, primary)


def _is_equality(node: Node) -> bool:
    match node:
        case Compare(op, Ref(), other) | Compare(op, other, Ref()):
            if isinstance(other, Ref):
                return False
            return op in ("==", "!=") or _whole(_sided(node)) is not None
        case Member(Ref(), _, _) | Null(Ref(), _):
            return True
        case _:
            return False


def _is_after(node: Node) -> bool:
    return isinstance(node, Compare) and _sided(node)[0] == ">"


def _sided(node: Compare) -> tuple[Comparison, Node]:
    """The comparison with the key on the left."""
    if isinstance(node.left, Ref):
        return node.op, node.right
    return _FLIPPED.get(node.op, node.op), node.left


def _whole(sided: tuple[Comparison, Node]) -> tuple[Comparison, Value] | None:
    """A comparison with an end of all keys as the equality that it is, or as it is where it holds for all; else None.

    Iterators begin with such a one, and the proxy's own expressions have another for the least number.
    """
    op, node = sided
    try:
        value = constant(node, {})
    except InvalidArgument:
        return None
    if isinstance(value, list) or value is None:
        return None
    if (op, value) in (("<=", _MOST), (">=", _LEAST), (">=", "")):
        return op, value
    return _ENDS.get((op, value))


def at_rest(node: Node, primary: Column, cipher: IdCipher) -> Node | None:
    """A condition on keys with these as they are stored; None for a node that is none such.

    Raises:
        InvalidArgument: it compares keys with what no key is, or asks for what encrypted keys cannot answer.
    """
    match node:
        case Compare(_, Ref(root, ()), _) | Compare(_, _, Ref(root, ())) if root == primary.name:
            op, other = _sided(node)
            whole = _whole((op, other))
            if whole is not None and whole[0] not in ("==", "!="):
                return Compare(whole[0], Ref(root), written(whole[1]))
            op, value = (op, constant(other, {})) if whole is None else whole
            return Compare(op, Ref(root), written(_one(value, primary, cipher)))
        case Member(Ref(root, ()), values, negated) if root == primary.name:
            listed = constant(values, {})
            if not isinstance(listed, list):
                raise InvalidArgument("the right-hand side of 'in' must be a list")
            for value in listed:
                _require_key(value, primary)
            nodes = written(list(encrypted(listed, primary, cipher)))
            return Member(Ref(root), nodes if listed else Literals(()), negated)
        case Null(Ref(root, ()), _) if root == primary.name:
            return node
        case Ref(root, _) if root == primary.name:
            raise InvalidArgument(f"field {primary.name} can only be asked for equality: its keys are encrypted")
    return None


def _one(value: Value | None, primary: Column, cipher: IdCipher) -> Value:
    _require_key(value, primary)
    stored: Value = encrypted([value], primary, cipher)[0]
    return stored


def _require_key(value: Value | None, primary: Column) -> None:
    wanted = str if primary.data_type == VARCHAR else int
    if type(value) is not wanted or (primary.data_type == INT64 and not _LEAST <= int(value) <= _MOST):
        raise InvalidArgument(f"field {primary.name} is compared with what is no primary key: invalid parameter")


def turn_parameter(pair: c.KeyValuePair, primary: Column, cipher: IdCipher) -> None:
    """Turn the key that a query parameter names, in place."""
    if pair.key == "query_iter_last_pk":
        given = pair.value if primary.data_type == VARCHAR else int(pair.value)
        pair.value = str(encrypted([given], primary, cipher)[0])
