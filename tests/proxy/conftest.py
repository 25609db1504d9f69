"""One proxy with a recorder behind it, for all tests here that share its policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import DIMS, Guarded, dense, guarded

POLICY = """
version: 1
access:
  anonymous: [read, write]
collections:
  - match: "open-*"
    protect: none
  - match: "small-*"
    limits: {max_limit: 5, max_batch: 3, max_message_mib: 1}
  - match: "lost-*"
    vectors:
      - recover: none
        rerank: "off"
  - match: "kept-*"
    vectors:
      - recover: sealed
  - match: "weak-*"
    payload: {default: plain}
  - match: "box-*"
    payload:
      default: sealed
      fields:
        open: plain
        tag: searchable
        meta.open: plain
        meta.tag: searchable
"""


@pytest.fixture(scope="session")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The proxy of `POLICY`, a recorder, and the shared engine."""
    with guarded(engine, tmp_path_factory.mktemp("guarded"), POLICY) as running:
        yield running


@pytest.fixture
def collection(request: pytest.FixtureRequest, place: Guarded) -> Iterator[str]:
    """A protected collection of its own for one test: vectors "" is not there, `d`, `m` (multi) and `s` (sparse) are.

    It holds points 1 and 2, with the payload of `payload`.
    """
    name = f"box-{abs(hash(request.node.nodeid)):x}"
    create(place, name)
    yield name
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
    place.forget()


def create(place: Guarded, name: str) -> None:
    """Make such a collection through the proxy, and write its two points."""
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    multi = q.VectorParams(size=DIMS, distance=q.Distance.Dot)
    multi.multivector_config.comparator = q.MultiVectorComparator.MaxSim
    ask = q.CreateCollection(collection_name=name)
    ask.vectors_config.params_map.map["d"].CopyFrom(params)
    ask.vectors_config.params_map.map["m"].CopyFrom(multi)
    ask.sparse_vectors_config.map["s"].SetInParent()
    place.client.collections.Create(ask)
    points = [q.PointStruct(id=q.PointId(num=i), vectors=vectors(i), payload=payload(i)) for i in (1, 2)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))


def vectors(number: int) -> q.Vectors:
    """All three vectors of a point."""
    row = [float((number * 7 + i * i) % 11) for i in range(DIMS)]
    rows = q.MultiDenseVector(vectors=[q.DenseVector(data=row), q.DenseVector(data=row[::-1])])
    sparse = q.SparseVector(indices=[number, 100 + number], values=[0.5, 2.0])
    named = {"d": dense(row), "m": q.Vector(multi_dense=rows), "s": q.Vector(sparse=sparse)}
    return q.Vectors(vectors=q.NamedVectors(vectors=named))


def payload(number: int) -> dict[str, q.Value]:
    """A payload with a field of each mode, at the top and one level down."""
    text = f"number {number}"
    inner = {key: q.Value(string_value=f"inner {text}") for key in ("open", "tag", "shut")}
    fields = {key: q.Value(string_value=text) for key in ("open", "tag", "shut", "note")}
    return {**fields, "meta": q.Value(struct_value=q.Struct(fields=inner)), "n": q.Value(integer_value=number)}
