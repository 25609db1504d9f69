"""The same operation through the proxy and straight to the engine, and what has to be equal in the two answers.

Ids, order, payloads, statuses and error texts must be equal; scores and vectors to 1e-4 (float32 sums are rounded
differently after a rotation). Points of equal score are in no set order in Qdrant itself (the same call gives another
one each time), so calls marked `Tied` may order them differently. Left out: times, versions and operation numbers (one
write may become several at rest), hardware usage, and how many segments or indexed vectors an engine has just now.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.message import Message
from pydantic import BaseModel
from qdrant_client import QdrantClient
from qdrant_client import grpc as pb
from serving import Server

TOLERANCE = 1e-4
_LEFT_OUT = frozenset(
    {
        "time",
        "usage",
        "version",
        "operation_id",
        "created_at",
        "segments_count",
        "indexed_vectors_count",
        "optimizer_status",
        "status_message",
    }
)
# Below these keys numbers are a client's own data. Qdrant itself may lose a number's last bit (it reads JSON quickly).
LAST_BIT = 1e-15
_CLIENT_DATA = frozenset({"payload", "metadata", "hits_value"})

Plain: TypeAlias = Any


@dataclass(frozen=True)
class Side:
    """One way to the data: the engine itself, or the proxy. `prefix` is put before the names of its collections."""

    client: QdrantClient
    points: pb.PointsStub
    collections: pb.CollectionsStub
    prefix: str

    def name(self, collection: str) -> str:
        """The collection's name on this side."""
        return f"{self.prefix}{collection}"


Call: TypeAlias = Callable[[Side], object]


@dataclass(frozen=True)
class Tied:
    """A call whose answer may hold different points of equal score."""

    call: Callable[[Side], object]

    def __call__(self, on: Side) -> object:
        return self.call(on)


@contextlib.contextmanager
def side(server: Server, prefix: str = "") -> Iterator[Side]:
    """A side on a running server."""
    client = server.client()
    try:
        with server.channel() as channel:
            yield Side(client, pb.PointsStub(channel), pb.CollectionsStub(channel), prefix)
    finally:
        client.close()


@dataclass(frozen=True)
class Pair:
    """The engine (the reference) and the proxy."""

    direct: Side
    proxied: Side

    def same(self, call: Call) -> Plain:
        """Run on both; the common outcome. Fails with the first differences."""
        expected, got = outcome(self.direct, call), outcome(self.proxied, call)
        if isinstance(call, Tied):
            expected, got = untied(expected, got)
        found = list(differences(expected, got))
        assert not found, "engine and proxy differ:\n" + "\n".join(found[:8])
        return expected

    def refused(self, call: Call) -> tuple[str, str]:
        """Run on both; the common status and text of the refusal."""
        common = self.same(call)
        assert "refused" in common, f"was answered: {str(common)[:300]}"
        return common["refused"]


def outcome(on: Side, call: Call) -> Plain:
    """What a call answers, or how it is refused, as plain values."""
    try:
        answer = plain(call(on))
    except grpc.RpcError as refusal:
        text = (refusal.details() or "").replace(on.prefix, "") if on.prefix else refusal.details() or ""
        return {"refused": (refusal.code().name, text)}
    return {"answer": answer}


def answer(on: Side, call: Call) -> Plain:
    """What a call answers, which has to be a success."""
    found = outcome(on, call)
    assert "answer" in found, found
    return found["answer"]


def plain(value: object) -> Plain:
    """Any answer as dicts, lists and leaves, without what is left out of the comparison."""
    if isinstance(value, Message):
        return _plain_message(value)
    if isinstance(value, BaseModel):
        return plain({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
        return [plain(item) for item in value]
    return value


def _plain_message(message: Message) -> Plain:
    if isinstance(message, pb.PointId):
        return getattr(message, message.WhichOneof("point_id_options") or "num")
    # A score of 0 is not on the wire.
    found = {"score": message.score} if isinstance(message, pb.ScoredPoint) else {}
    for field, value in message.ListFields():
        if field.name not in _LEFT_OUT:
            found[field.name] = plain(value) if not isinstance(value, Mapping) else plain(dict(value))
    return found


def differences(expected: Plain, got: Plain, place: str = "", *, exact: bool = False) -> Iterator[str]:
    """Every place where two plain values differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            where = f"{place}.{key}"
            if key not in expected or key not in got:
                side_name, value = ("engine", expected[key]) if key in expected else ("proxy", got[key])
                yield f"{where}: only from the {side_name}: {str(value)[:200]}"
            else:
                yield from differences(expected[key], got[key], where, exact=exact or key in _CLIENT_DATA)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{place}: {len(expected)} != {len(got)} items: {str(expected)[:600]} != {str(got)[:600]}"
            return
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from differences(one, other, f"{place}[{index}]", exact=exact)
    elif not _equal(expected, got, exact):
        yield f"{place}: {expected!r} != {got!r}"


def _is_ranking(value: Plain) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(i, dict) and {"id", "score"} <= i.keys() for i in value)
    )


def untied(expected: Plain, got: Plain) -> tuple[Plain, Plain]:
    """Both with their rankings made comparable: scores in order, then points by id.

    Points that only one of them has are left out if they tie with its last one: the limit cut through the tie.
    """
    if _is_ranking(expected) and _is_ranking(got):
        common = {str(hit["id"]) for hit in expected} & {str(hit["id"]) for hit in got}
        return _by_id(expected, common), _by_id(got, common)
    if isinstance(expected, dict) and isinstance(got, dict):
        both = {key: untied(expected[key], got[key]) for key in expected if key in got}
        return (
            {key: both[key][0] if key in both else value for key, value in expected.items()},
            {key: both[key][1] if key in both else value for key, value in got.items()},
        )
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        both_items = [untied(one, other) for one, other in zip(expected, got, strict=True)]
        return [one for one, _ in both_items], [other for _, other in both_items]
    return expected, got


def _by_id(ranking: list[Plain], common: set[str]) -> Plain:
    last = ranking[-1]["score"]
    kept = {
        str(hit["id"]): hit
        for hit in ranking
        if str(hit["id"]) in common or not math.isclose(hit["score"], last, rel_tol=1e-5, abs_tol=1e-6)
    }
    return {"scores": [hit["score"] for hit in ranking], "points": kept}


def _equal(expected: Plain, got: Plain, exact: bool) -> bool:
    if type(expected) is not type(got):
        return False
    if isinstance(expected, float) and exact:
        return math.isclose(expected, got, rel_tol=LAST_BIT)
    if isinstance(expected, float):
        if math.isnan(expected) or math.isinf(expected):
            return repr(expected) == repr(got)
        return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(expected == got)


def cases(operations: Mapping[str, Call], *, quick: Callable[[str], bool] = lambda _: True) -> pytest.MarkDecorator:
    """A test for each operation, named by it; the test takes `call`. Those that are not `quick` are marked slow."""
    parameters = [
        pytest.param(call, id=name, marks=[] if quick(name) else [pytest.mark.slow])
        for name, call in operations.items()
    ]
    return pytest.mark.parametrize("call", parameters)
