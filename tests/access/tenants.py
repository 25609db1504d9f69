"""Two tenants in one Qdrant collection, and calls as each of them: what the row-filter suite works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from qdrant_client import grpc as q
from serving import Proxy

from vecguard.front.qdrant.table import ROUTES
from vecguard.policy.credentials import hash_key

ROOT, ALPHA, BETA, WIDE = "vgk_root", "vgk_alpha", "vgk_beta", "vgk_wide"
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
    - {{name: root, hash: "{hash_key(ROOT)}", roles: [read, write, admin]}}
    - {{name: alpha, hash: "{hash_key(ALPHA)}", roles: [tenant], attributes: {{tenant: alpha}}}}
    - {{name: beta, hash: "{hash_key(BETA)}", roles: [tenant], attributes: {{tenant: beta}}}}
    - {{name: nobody, hash: "{hash_key("vgk_nobody")}", roles: [tenant]}}
    - {{name: wide, hash: "{hash_key(WIDE)}", roles: [indexer], attributes: {{tenant: alpha}}}}
  roles:
    - name: tenant
      grants:
        - {{collections: ["notes*"], actions: [admin], rows: all, operations: ["Nothing"]}}
        - {{collections: ["notes*"], actions: [read, write]}}
      row_filter: {{tenant_id: {{attribute: tenant}}}}
    - name: indexer
      grants:
        - {{collections: ["notes*"], actions: [write], operations: [CreateFieldIndex], rows: all}}
        - {{collections: ["notes*"], actions: [read, write]}}
      row_filter: {{tenant_id: {{attribute: tenant}}}}
collections:
  - match: "notes-clear"
    protect: none
  - match: "notes-plain"
    payload: {{default: sealed, fields: {{tenant_id: plain, color: plain}}}}
  - match: "notes-sealed"
  - match: "notes-keyed"
    tenant_keys: {{field: tenant_id}}
    payload: {{default: sealed, fields: {{tenant_id: searchable, color: searchable}}}}
  - match: "*"
    payload: {{default: sealed, fields: {{tenant_id: searchable, color: searchable}}}}
"""
KINDS = ("notes", "notes-plain", "notes-clear", "notes-keyed")
OWN, FOREIGN = (1, 2, 3, 4), (11, 12, 13, 14)


def number(value: int) -> q.PointId:
    return q.PointId(num=value)


def numbers(*values: int) -> list[q.PointId]:
    return [number(value) for value in values]


def text(value: str) -> q.Value:
    return q.Value(string_value=value)


def vector(point: int) -> list[float]:
    """A point's vector: those of both tenants lie among each other."""
    return [1.0, (point % 10) / 10, 0.1 if point > 10 else 0.0, 0.5]


def dense(values: list[float]) -> q.Vectors:
    return q.Vectors(vector=q.Vector(dense=q.DenseVector(data=values)))


def given(values: list[float]) -> q.VectorInput:
    return q.VectorInput(dense=q.DenseVector(data=values))


def point(value: int, tenant: str | None, color: str = "red") -> q.PointStruct:
    payload = {"color": text(color), "text": text(f"text of {value}")}
    if tenant is not None:
        payload["tenant_id"] = text(tenant)
    return q.PointStruct(id=number(value), vectors=dense(vector(value)), payload=payload)


def where(field: str, value: str) -> q.Filter:
    return q.Filter(must=[q.Condition(field=q.FieldCondition(key=field, match=q.Match(keyword=value)))])


def selected(*values: int) -> q.PointsSelector:
    return q.PointsSelector(points=q.PointsIdsList(ids=numbers(*values)))


def filtered(condition: q.Filter) -> q.PointsSelector:
    return q.PointsSelector(filter=condition)


def ids_in(message: Message) -> set[int]:
    """Numbers of all points that an answer names, wherever it does."""
    if isinstance(message, q.PointId):
        return {message.num}
    found: set[int] = set()
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.is_repeated and field.message_type.GetOptions().map_entry:
            continue
        for one in value if field.is_repeated else [value]:
            found |= ids_in(one)
    return found


@dataclass
class World:
    """A proxy with the tenants' collections."""

    proxy: Proxy
    channel: grpc.Channel
    name: str = "notes"

    def call(self, key: str, rpc: str, message: Message) -> Any:
        """Call as whoever has the key. Raises grpc.RpcError."""
        method = self.channel.unary_unary(
            rpc, request_serializer=type(message).SerializeToString, response_deserializer=ROUTES[rpc].reply.FromString
        )
        return method(message, metadata=(("api-key", key),), timeout=60)

    def status(self, key: str, rpc: str, message: Message) -> grpc.StatusCode:
        try:
            self.call(key, rpc, message)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def rows(self) -> dict[int, bytes]:
        """All points as root sees them, whole, by number."""
        ask = q.ScrollPoints(collection_name=self.name, limit=100)
        ask.with_payload.enable = ask.with_vectors.enable = True
        found = self.call(ROOT, "/qdrant.Points/Scroll", ask).result
        return {one.id.num: one.SerializeToString(deterministic=True) for one in found}

    def foreign(self) -> dict[int, bytes]:
        """Beta's points, whole."""
        return {key: row for key, row in self.rows().items() if key in FOREIGN}

    def tenants(self) -> dict[int, str]:
        """Whose each point is."""
        ask = q.ScrollPoints(collection_name=self.name, limit=100)
        ask.with_payload.enable = True
        found = self.call(ROOT, "/qdrant.Points/Scroll", ask).result
        return {one.id.num: one.payload["tenant_id"].string_value for one in found}

    def reset(self) -> None:
        """Both tenants' points as they were at first."""
        everything = q.DeletePoints(collection_name=self.name, wait=True, points=filtered(q.Filter()))
        self.call(ROOT, "/qdrant.Points/Delete", everything)
        points = [point(i, "alpha") for i in OWN] + [point(i, "beta", "blue") for i in FOREIGN]
        self.call(ROOT, "/qdrant.Points/Upsert", q.UpsertPoints(collection_name=self.name, wait=True, points=points))


@contextlib.contextmanager
def world(proxy: Proxy) -> Iterator[World]:
    """The tenants' collections, made and filled."""
    with proxy.channel() as channel:
        here = World(proxy, channel)
        for name in KINDS:
            made = q.CreateCollection(collection_name=name)
            made.vectors_config.params.size, made.vectors_config.params.distance = 4, q.Distance.Cosine
            here.call(ROOT, "/qdrant.Collections/Create", made)
            index = q.CreateFieldIndexCollection(
                collection_name=name, wait=True, field_name="color", field_type=q.FieldType.FieldTypeKeyword
            )
            here.call(ROOT, "/qdrant.Points/CreateFieldIndex", index)
            World(proxy, channel, name).reset()
        yield here
