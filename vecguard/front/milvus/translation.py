"""What is changed in every message about a protected collection, last on the way to the database and first on the way
back: primary keys and field names, where the policy has them encrypted. The rest of the front knows the client's
alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from vecguard.front.milvus import stored_keys
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import render
from vecguard.front.milvus.expression.tree import Node, Ref, rebuilt
from vecguard.front.milvus.field_names import FieldNames
from vecguard.front.milvus.freshness import watched
from vecguard.front.milvus.layout import Layout, layout_of
from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.planted import planted_in
from vecguard.front.milvus.proto import m, s
from vecguard.front.milvus.status import checked
from vecguard.model import Caller
from vecguard.seal.id_cipher import IdCipher
from vecguard.seal.planted import PlantedId
from vecguard.shield import Shield
from vecguard.upstream import Answer, Upstream

__all__ = ("call", "collection_of", "planted", "show", "shown_text", "stored", "unjudged", "watched")

Sent = TypeVar("Sent", bound=Message)
_NOBODY: Final = Caller()


def collection_of(message: Message, metadata: tuple[tuple[str, str], ...]) -> str | None:
    """The key of the collection that a message names; None where it names none."""
    name = getattr(message, "collection_name", None)
    return place_of(getattr(message, "db_name", ""), name, metadata).key if isinstance(name, str) else None


def stored(message: Sent, shield: Shield) -> Sent:
    """The message with keys and names as they are stored; a copy, as what is sent may be sent again.

    Raises:
        InvalidArgument: a key is of another type than its column, or an expression asks of keys what it cannot.
    """
    change = _STORED.get(type(message).__name__)
    if change is None or (shield.ids is None and shield.fields.names is None):
        return message
    copied: Any = type(message)()
    copied.CopyFrom(message)
    change(copied, _turns(shield))
    result: Sent = copied
    return result


def planted(message: Message, shield: Shield) -> list[PlantedId]:
    """The ids of planted rows within a message, as the client would know them."""
    return planted_in(message, shield)


def show(message: Message, shield: Shield) -> None:
    """Turn the keys and names of an answer into the client's, in place.

    Raises:
        Unreadable: a key is none that was stored.
    """
    change = _SHOWN.get(type(message).__name__)
    if change is not None and not (shield.ids is None and shield.fields.names is None):
        change(message, _turns(shield))


def shown_text(details: str, shield: Shield) -> str:
    """Unchanged: Milvus' errors stand in its answers, and `status.ask` puts all texts in the client's words."""
    del shield
    return details


async def call(
    upstream: Upstream, rpc: str, message: Message, answer: type[Answer], shield: Shield, caller: Caller = _NOBODY
) -> Answer:
    """Ask the database about one collection without a session; the client's keys and names on this side.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
        RolledBack, FailedPrecondition, Unavailable, Refused, InvalidArgument: see `watched`.
    """
    send = partial(_sent, upstream=upstream, shield=shield, caller=caller)
    if shield.fresh is None:
        return checked(await send(rpc, message, answer))
    return checked(await watched(send, rpc, message, answer, shield))


async def unjudged(upstream: Upstream, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
    """`call`, whether or not what is answered is the newest. Raises UpstreamFailure."""
    return checked(await _sent(rpc, message, answer, upstream=upstream, shield=shield, caller=_NOBODY))


async def _sent(
    rpc: str, message: Message, answer: type[Answer], *, upstream: Upstream, shield: Shield, caller: Caller
) -> Answer:
    found = await upstream.call(rpc, stored(message, shield), answer, caller)
    show(found, shield)
    return found


@dataclass(frozen=True, slots=True)
class _Turns:
    """What a collection has encrypted."""

    layout: Layout
    cipher: IdCipher | None
    names: FieldNames | None

    def columns(self, columns: Iterable[s.FieldData], *, back: bool = False) -> None:
        for data in columns:
            if self.cipher is not None:
                stored_keys.turn_column(data, self.layout.primary, self.cipher, back=back)
            if self.names is not None:
                self.names.turn_column(data, back=back)

    def ids(self, ids: s.IDs, *, back: bool = False) -> None:
        if self.cipher is not None:
            stored_keys.turn_ids(ids, self.layout.primary, self.cipher, back=back)

    def expression(self, text: str) -> str:
        return render(self._node(parse(text))) if text.strip() else text

    def _node(self, node: Node) -> Node:
        if self.cipher is not None:
            found = stored_keys.at_rest(node, self.layout.primary, self.cipher)
            if found is not None:
                return found
        if self.names is not None and isinstance(node, Ref):
            return self.names.ref(node)
        return rebuilt(node, self._node)

    def outputs(self, held: Any, *, back: bool = False) -> None:
        if self.names is not None:
            held[:] = [self.names.shown_output(name) if back else self.names.output(name) for name in held]


def _turns(shield: Shield) -> _Turns:
    layout, hidden = layout_of(shield), shield.fields.names
    return _Turns(layout, shield.ids, None if hidden is None else FieldNames(hidden, layout))


def _write(request: m.InsertRequest | m.UpsertRequest, turns: _Turns) -> None:
    turns.columns(request.fields_data)
    request.ClearField("hash_keys")  # hashes of the client's keys, which servers compute for themselves


def _delete(request: m.DeleteRequest, turns: _Turns) -> None:
    request.ClearField("hash_keys")
    request.expr = turns.expression(request.expr)


def _query(request: m.QueryRequest, turns: _Turns) -> None:
    request.expr = turns.expression(request.expr)
    turns.outputs(request.output_fields)
    for pair in request.query_params:
        if turns.cipher is not None:
            stored_keys.turn_parameter(pair, turns.layout.primary, turns.cipher)
        if turns.names is not None:
            turns.names.require_columns(pair)


def _search(request: m.SearchRequest, turns: _Turns) -> None:
    request.dsl = turns.expression(request.dsl)
    turns.outputs(request.output_fields)
    _boosts(request, turns)
    if "ids" in request.DESCRIPTOR.fields_by_name and request.HasField("ids"):
        turns.ids(request.ids)


def _hybrid(request: m.HybridSearchRequest, turns: _Turns) -> None:
    for search in request.requests:
        _search(search, turns)
    turns.outputs(request.output_fields)
    _boosts(request, turns)


def _boosts(request: m.SearchRequest | m.HybridSearchRequest, turns: _Turns) -> None:
    """The filters of rerank functions that the database computes."""
    if "function_score" not in request.DESCRIPTOR.fields_by_name or not request.HasField("function_score"):
        return
    for function in request.function_score.functions:
        for pair in function.params:
            if pair.key.lower() == "filter":
                pair.value = turns.expression(pair.value)


def _index(request: m.CreateIndexRequest, turns: _Turns) -> None:
    if turns.names is not None:
        turns.names.require_column_index(request)


def _mutated(answer: m.MutationResult, turns: _Turns) -> None:
    turns.ids(answer.IDs, back=True)


def _queried(answer: m.QueryResults, turns: _Turns) -> None:
    turns.columns(answer.fields_data, back=True)
    turns.outputs(answer.output_fields, back=True)


def _searched(answer: m.SearchResults, turns: _Turns) -> None:
    results = answer.results
    turns.ids(results.ids, back=True)
    turns.columns(results.fields_data, back=True)
    turns.outputs(results.output_fields, back=True)
    for name in ("group_by_field_value", "group_by_field_values"):
        field = results.DESCRIPTOR.fields_by_name.get(name)
        if field is not None:
            held = getattr(results, name)
            turns.columns(held if field.is_repeated else [held] * results.HasField(name), back=True)


_STORED = {
    "InsertRequest": _write,
    "UpsertRequest": _write,
    "DeleteRequest": _delete,
    "QueryRequest": _query,
    "SearchRequest": _search,
    "HybridSearchRequest": _hybrid,
    "CreateIndexRequest": _index,
}
_SHOWN = {"MutationResult": _mutated, "QueryResults": _queried, "SearchResults": _searched}
