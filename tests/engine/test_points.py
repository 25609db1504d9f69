"""Writes and reads of points: what is stored comes back, refusals are Qdrant's, a bad batch changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from .conftest import refusal

UUID = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26"
COMPLETED, ACKNOWLEDGED = pb.UpdateStatus.Completed, pb.UpdateStatus.Acknowledged
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture
def mixed(client: QdrantClient, collection_name: Callable[[str], str]) -> str:
    """A collection with an unnamed dot vector (4), a multivector `multi` (2) and a sparse one `sparse`."""
    name = collection_name()
    client.create_collection(
        name,
        vectors_config={
            "": models.VectorParams(size=4, distance=models.Distance.DOT),
            "multi": models.VectorParams(
                size=2,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    return name


@pytest.fixture
def three(points: pb.PointsStub, mixed: str) -> str:
    """The same collection with points 1, 2 and 3."""
    stored = [
        pb.PointStruct(id=num(i), vectors=one(dense(i, 0, 0, 1)), payload={"n": integer(i), "word": text("abc"[i - 1])})
        for i in (1, 2, 3)
    ]
    points.Upsert(pb.UpsertPoints(collection_name=mixed, points=stored, wait=True))
    return mixed


def num(number: int) -> pb.PointId:
    return pb.PointId(num=number)


def dense(*numbers: float) -> pb.Vector:
    return pb.Vector(dense=pb.DenseVector(data=numbers))


def one(vector: pb.Vector) -> pb.Vectors:
    return pb.Vectors(vector=vector)


def named(**vectors: pb.Vector) -> pb.Vectors:
    return pb.Vectors(vectors=pb.NamedVectors(vectors=vectors))


def integer(number: int) -> pb.Value:
    return pb.Value(integer_value=number)


def text(string: str) -> pb.Value:
    return pb.Value(string_value=string)


def ids(*numbers: int) -> pb.PointsSelector:
    return pb.PointsSelector(points=pb.PointsIdsList(ids=[num(number) for number in numbers]))


def where(word: str) -> pb.PointsSelector:
    condition = pb.Condition(field=pb.FieldCondition(key="word", match=pb.Match(keyword=word)))
    return pb.PointsSelector(filter=pb.Filter(must=[condition]))


def everything(points: pb.PointsStub, collection: str) -> dict[int, pb.RetrievedPoint]:
    request = pb.ScrollPoints(collection_name=collection, limit=100, with_vectors=pb.WithVectorsSelector(enable=True))
    return {point.id.num: point for point in points.Scroll(request).result}


def get(points: pb.PointsStub, collection: str, point_id: pb.PointId) -> pb.RetrievedPoint:
    [point] = points.Get(
        pb.GetPoints(
            collection_name=collection,
            ids=[point_id],
            with_payload=pb.WithPayloadSelector(enable=True),
            with_vectors=pb.WithVectorsSelector(enable=True),
        )
    ).result
    return point


def upsert(points: pb.PointsStub, collection: str, *stored: pb.PointStruct, **more: Any) -> pb.UpdateResult:
    request = pb.UpsertPoints(collection_name=collection, points=stored, **{"wait": True, **more})
    return points.Upsert(request).result


# Upsert and get


def test_numbers_of_operations_rise_and_status_tells_of_waiting(points: pb.PointsStub, mixed: str) -> None:
    point = pb.PointStruct(id=num(1), vectors=one(dense(1, 2, 3, 4)))
    first = upsert(points, mixed, point)
    second = points.Upsert(pb.UpsertPoints(collection_name=mixed, points=[point])).result
    assert (first.operation_id, first.status) == (0, COMPLETED)
    assert (second.operation_id, second.status) == (1, ACKNOWLEDGED)


@pytest.mark.parametrize("point_id", [num(0), num(2**64 - 1), pb.PointId(uuid=UUID)])
def test_ids_come_back(points: pb.PointsStub, mixed: str, point_id: pb.PointId) -> None:
    upsert(points, mixed, pb.PointStruct(id=point_id, vectors=one(dense(1, 2, 3, 4))))
    assert get(points, mixed, point_id).id == point_id


def test_uuid_is_normalised(points: pb.PointsStub, mixed: str) -> None:
    compact = pb.PointId(uuid=UUID.replace("-", "").upper())
    upsert(points, mixed, pb.PointStruct(id=compact, vectors=one(dense(1, 2, 3, 4))))
    assert get(points, mixed, compact).id.uuid == UUID


def test_payload_types_come_back_exactly(points: pb.PointsStub, mixed: str) -> None:
    payload = {
        "text": text("ünïcode 𝄞 \0"),
        "integer": integer(-(2**63)),
        "large": integer(2**63 - 1),
        "double": pb.Value(double_value=1e300),
        "whole double": pb.Value(double_value=2.0),
        "true": pb.Value(bool_value=True),
        "null": pb.Value(null_value=pb.NullValue.NULL_VALUE),
        "list": pb.Value(list_value=pb.ListValue(values=[integer(1), text("x"), pb.Value(bool_value=False)])),
        "empty list": pb.Value(list_value=pb.ListValue()),
        "object": pb.Value(struct_value=pb.Struct(fields={"a.b": pb.Value(struct_value=pb.Struct())})),
    }
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=one(dense(1, 2, 3, 4)), payload=payload))
    assert dict(get(points, mixed, num(1)).payload) == payload


def test_unset_value_is_null(points: pb.PointsStub, mixed: str) -> None:
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=one(dense(1, 2, 3, 4)), payload={"x": pb.Value()}))
    assert get(points, mixed, num(1)).payload["x"].WhichOneof("kind") == "null_value"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_number_that_json_cannot_hold_is_refused(points: pb.PointsStub, mixed: str, number: float) -> None:
    point = pb.PointStruct(id=num(1), vectors=one(dense(1, 2, 3, 4)), payload={"x": pb.Value(double_value=number)})
    assert refusal(lambda: upsert(points, mixed, point)) == (INVALID, "cannot convert to json number")


VECTOR_FORMS: list[tuple[str, pb.Vectors]] = [
    ("dense", one(dense(1, 2, 3, 4))),
    ("deprecated dense", one(pb.Vector(data=[1, 2, 3, 4]))),
    ("named dense", pb.Vectors(vectors=pb.NamedVectors(vectors={"": dense(1, 2, 3, 4)}))),
]


@pytest.mark.parametrize("vectors", [form[1] for form in VECTOR_FORMS], ids=[form[0] for form in VECTOR_FORMS])
def test_unnamed_vector_in_any_form(points: pb.PointsStub, mixed: str, vectors: pb.Vectors) -> None:
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=vectors))
    stored = get(points, mixed, num(1)).vectors
    assert list(stored.vector.dense.data) == [1, 2, 3, 4]
    assert not stored.vector.data  # Qdrant no longer fills the deprecated field


NAMED_FORMS: list[tuple[str, pb.Vectors]] = [
    (
        "oneof",
        named(
            multi=pb.Vector(
                multi_dense=pb.MultiDenseVector(vectors=[pb.DenseVector(data=[1, 2]), pb.DenseVector(data=[3, 4])])
            ),
            sparse=pb.Vector(sparse=pb.SparseVector(indices=[7, 2], values=[0.5, 0.25])),
        ),
    ),
    (
        "deprecated",
        named(
            multi=pb.Vector(data=[1, 2, 3, 4], vectors_count=2),
            sparse=pb.Vector(data=[0.5, 0.25], indices=pb.SparseIndices(data=[7, 2])),
        ),
    ),
]


@pytest.mark.parametrize("vectors", [form[1] for form in NAMED_FORMS], ids=[form[0] for form in NAMED_FORMS])
def test_named_vectors_in_any_form(points: pb.PointsStub, mixed: str, vectors: pb.Vectors) -> None:
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=vectors))
    stored = get(points, mixed, num(1)).vectors.vectors.vectors
    assert [list(row.data) for row in stored["multi"].multi_dense.vectors] == [[1, 2], [3, 4]]
    assert dict(zip(stored["sparse"].sparse.indices, stored["sparse"].sparse.values, strict=True)) == {7: 0.5, 2: 0.25}
    assert set(stored) == {"multi", "sparse"}


def test_point_without_vectors(points: pb.PointsStub, mixed: str) -> None:
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=named()))
    assert not get(points, mixed, num(1)).vectors.vectors.vectors


def test_float32_survives_bit_by_bit(points: pb.PointsStub, client: QdrantClient, mixed: str) -> None:
    numbers = np.array([np.pi, 1e-38, -3.4e38, 1 / 3], dtype=np.float32)
    upsert(points, mixed, pb.PointStruct(id=num(1), vectors=one(dense(*numbers.tolist()))))
    stored = np.array(get(points, mixed, num(1)).vectors.vector.dense.data, dtype=np.float32)
    assert stored.tobytes() == numbers.tobytes()


def test_cosine_vectors_are_normalised(client: QdrantClient, collection_name: Callable[[str], str]) -> None:
    name = collection_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert(name, [models.PointStruct(id=1, vector=[3.0, 4.0])], wait=True)
    assert client.retrieve(name, [1], with_vectors=True)[0].vector == pytest.approx([0.6, 0.8])


MULTI = pb.MultiDenseVector
BAD_POINTS: list[tuple[str, pb.PointStruct, str]] = [
    ("no id", pb.PointStruct(vectors=one(dense(1, 2, 3, 4))), "Empty ID is not allowed"),
    ("empty id", pb.PointStruct(id=pb.PointId(), vectors=one(dense(1, 2, 3, 4))), "No ID options provided"),
    ("uuid", pb.PointStruct(id=pb.PointId(uuid="x"), vectors=one(dense(1, 2, 3, 4))), "Unable to parse UUID: x"),
    ("no vectors", pb.PointStruct(id=num(9)), "Expected some vectors"),
    ("unset vectors", pb.PointStruct(id=num(9), vectors=pb.Vectors()), "No Vector Provided"),
    (
        "short",
        pb.PointStruct(id=num(9), vectors=one(dense(1, 2, 3))),
        "Wrong input: Vector dimension error: expected dim: 4, got 3",
    ),
    (
        "empty",
        pb.PointStruct(id=num(9), vectors=one(dense())),
        "Wrong input: Vector dimension error: expected dim: 4, got 0",
    ),
    (
        "unknown name",
        pb.PointStruct(id=num(9), vectors=named(other=dense(1, 2, 3, 4))),
        "Wrong input: Not existing vector name error: other",
    ),
    (
        "dense as sparse",
        pb.PointStruct(id=num(9), vectors=named(sparse=dense(1, 2))),
        "Wrong input: Conversion between sparse and regular vectors failed",
    ),
    (
        "sparse as dense",
        pb.PointStruct(id=num(9), vectors=named(multi=pb.Vector(sparse=pb.SparseVector(indices=[1], values=[1])))),
        "Wrong input: Conversion between sparse and regular vectors failed",
    ),
    (
        "unnamed sparse",
        pb.PointStruct(id=num(9), vectors=one(pb.Vector(sparse=pb.SparseVector(indices=[1], values=[1])))),
        "Sparse vector must be named",
    ),
    (
        "multi as dense",
        pb.PointStruct(
            id=num(9), vectors=one(pb.Vector(multi_dense=MULTI(vectors=[pb.DenseVector(data=[1, 2, 3, 4])])))
        ),
        "Wrong input: Conversion between multi and regular vectors failed",
    ),
    (
        "ragged",
        pb.PointStruct(
            id=num(9),
            vectors=named(
                multi=pb.Vector(
                    multi_dense=MULTI(vectors=[pb.DenseVector(data=[1, 2]), pb.DenseVector(data=[1, 2, 3])])
                )
            ),
        ),
        "all vectors must have the same dimension, found vector with dimension 3",
    ),
    (
        "no rows",
        pb.PointStruct(id=num(9), vectors=named(multi=pb.Vector(multi_dense=MULTI()))),
        "multi vector must not be empty",
    ),
    (
        "lengths",
        pb.PointStruct(id=num(9), vectors=named(sparse=pb.Vector(sparse=pb.SparseVector(indices=[1, 2], values=[1])))),
        "must be the same length as indices",
    ),
    (
        "twice",
        pb.PointStruct(
            id=num(9), vectors=named(sparse=pb.Vector(sparse=pb.SparseVector(indices=[1, 1], values=[1, 2])))
        ),
        "must be unique",
    ),
    (
        "inference",
        pb.PointStruct(id=num(9), vectors=one(pb.Vector(document=pb.Document(text="hello", model="m")))),
        "server-side inference is not available",
    ),
]


@pytest.mark.parametrize(("bad", "details"), [case[1:] for case in BAD_POINTS], ids=[case[0] for case in BAD_POINTS])
def test_bad_point_is_refused_and_the_whole_batch_with_it(
    points: pb.PointsStub, mixed: str, bad: pb.PointStruct, details: str
) -> None:
    good = pb.PointStruct(id=num(1), vectors=one(dense(1, 2, 3, 4)))
    status, told = refusal(lambda: upsert(points, mixed, good, bad))
    assert (status, details in told) == (INVALID, True), told
    assert not everything(points, mixed)


def test_writes_that_name_no_points_are_refused(points: pb.PointsStub, three: str) -> None:
    empty = (INVALID, "Bad request: Empty update request")
    assert refusal(lambda: upsert(points, three)) == empty
    assert refusal(lambda: _update(points, three)) == empty
    assert refusal(lambda: points.Delete(pb.DeletePoints(collection_name=three, points=ids()))) == empty
    payload = pb.SetPayloadPoints(collection_name=three, payload={"x": integer(1)}, points_selector=ids())
    assert refusal(lambda: points.SetPayload(payload)) == empty
    # A filter that matches none is no such write.
    nothing = pb.DeletePoints(collection_name=three, points=where("none"), wait=True)
    assert points.Delete(nothing).result.status == COMPLETED


def test_upsert_replaces_the_whole_point(points: pb.PointsStub, three: str) -> None:
    upsert(points, three, pb.PointStruct(id=num(1), vectors=one(dense(9, 9, 9, 9)), payload={"new": integer(1)}))
    assert dict(get(points, three, num(1)).payload) == {"new": integer(1)}


def test_update_modes(points: pb.PointsStub, three: str) -> None:
    new = [pb.PointStruct(id=num(i), vectors=one(dense(9, 9, 9, 9)), payload={"mode": text("new")}) for i in (3, 4)]
    upsert(points, three, *new, update_mode=pb.UpdateMode.InsertOnly)
    assert "mode" not in get(points, three, num(3)).payload
    assert "mode" in get(points, three, num(4)).payload
    newer = [pb.PointStruct(id=num(i), vectors=one(dense(8, 8, 8, 8)), payload={"mode": text("newer")}) for i in (4, 5)]
    upsert(points, three, *newer, update_mode=pb.UpdateMode.UpdateOnly)
    assert get(points, three, num(4)).payload["mode"] == text("newer")
    assert set(everything(points, three)) == {1, 2, 3, 4}


def test_unknown_update_mode_is_refused(points: pb.PointsStub, three: str) -> None:
    point = pb.PointStruct(id=num(1), vectors=one(dense(9, 9, 9, 9)))
    status, details = refusal(lambda: upsert(points, three, point, update_mode=9))
    assert (status, details) == (INVALID, "Wrong input: unknown value 9 of update_mode")


def test_many_points_are_read_and_written_in_one_call(points: pb.PointsStub, mixed: str) -> None:
    stored = [pb.PointStruct(id=num(i), vectors=one(dense(i, 0, 0, 0))) for i in range(450)]
    upsert(points, mixed, *stored)
    with_vectors = pb.WithVectorsSelector(enable=True)
    page = points.Scroll(pb.ScrollPoints(collection_name=mixed, limit=450, with_vectors=with_vectors)).result
    assert [list(point.vectors.vector.dense.data) for point in page] == [[i, 0, 0, 0] for i in range(450)]
    nearest = pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[1, 0, 0, 0])))
    found = points.Query(pb.QueryPoints(collection_name=mixed, query=nearest, limit=450)).result
    assert [point.score for point in found] == list(range(449, -1, -1))


def test_update_filter_guards_existing_points(points: pb.PointsStub, three: str) -> None:
    replaced = [pb.PointStruct(id=num(i), vectors=one(dense(9, 9, 9, 9))) for i in (1, 2)]
    upsert(points, three, *replaced, update_filter=where("a").filter)
    assert "word" not in get(points, three, num(1)).payload
    assert get(points, three, num(2)).payload["word"] == text("b")


# Get, scroll, count


def test_get_keeps_the_order_asked_for_and_skips_missing(points: pb.PointsStub, three: str) -> None:
    request = pb.GetPoints(collection_name=three, ids=[num(3), num(99), num(1), num(3)])
    assert [point.id.num for point in points.Get(request).result] == [3, 1]


def test_get_returns_nothing_but_ids_unless_asked(points: pb.PointsStub, three: str) -> None:
    [point] = points.Get(pb.GetPoints(collection_name=three, ids=[num(1)])).result
    assert not point.payload
    assert not point.HasField("vectors")


@pytest.mark.parametrize(
    ("selector", "fields"),
    [
        (pb.WithPayloadSelector(enable=False), set()),
        (pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=["n"])), {"n"}),
        (pb.WithPayloadSelector(exclude=pb.PayloadExcludeSelector(fields=["n"])), {"word"}),
    ],
)
def test_payload_selectors(
    points: pb.PointsStub, three: str, selector: pb.WithPayloadSelector, fields: set[str]
) -> None:
    request = pb.ScrollPoints(collection_name=three, with_payload=selector)
    assert [set(point.payload) for point in points.Scroll(request).result] == [fields] * 3


def test_empty_payload_selector_is_refused(points: pb.PointsStub, three: str) -> None:
    request = pb.ScrollPoints(collection_name=three, with_payload=pb.WithPayloadSelector())
    assert refusal(lambda: points.Scroll(request)) == (INVALID, "No PayloadSelector")


def test_unknown_vector_name_in_selector_is_refused(points: pb.PointsStub, three: str) -> None:
    selector = pb.WithVectorsSelector(include=pb.VectorsSelector(names=["other"]))
    request = pb.ScrollPoints(collection_name=three, with_vectors=selector)
    assert refusal(lambda: points.Scroll(request)) == (
        INVALID,
        "Wrong input: Not existing vector name error: other",
    )


def test_scroll_pages_through_all_ids_numbers_before_uuids(points: pb.PointsStub, mixed: str) -> None:
    numbers = [5, 1, 30, 7]
    stored = [pb.PointStruct(id=num(i), vectors=one(dense(1, 2, 3, 4))) for i in numbers]
    stored.append(pb.PointStruct(id=pb.PointId(uuid=UUID), vectors=one(dense(1, 2, 3, 4))))
    upsert(points, mixed, *stored)
    seen, offset = [], None
    while True:
        page = points.Scroll(pb.ScrollPoints(collection_name=mixed, limit=2, offset=offset))
        seen += [point.id for point in page.result]
        if not page.HasField("next_page_offset"):
            break
        offset = page.next_page_offset
    assert seen == [num(1), num(5), num(7), num(30), pb.PointId(uuid=UUID)]


def test_scroll_returns_ten_with_payload_by_default(points: pb.PointsStub, mixed: str) -> None:
    upsert(
        points,
        mixed,
        *(pb.PointStruct(id=num(i), vectors=one(dense(1, 2, 3, 4)), payload={"n": integer(i)}) for i in range(12)),
    )
    page = points.Scroll(pb.ScrollPoints(collection_name=mixed))
    assert [point.payload["n"].integer_value for point in page.result] == list(range(10))
    assert page.next_page_offset == num(10)


def test_scroll_in_field_order(points: pb.PointsStub, client: QdrantClient, three: str) -> None:
    client.create_payload_index(three, "n", models.PayloadSchemaType.INTEGER, wait=True)
    order = pb.OrderBy(key="n", direction=pb.Direction.Desc, start_from=pb.StartFrom(integer=2))
    page = points.Scroll(pb.ScrollPoints(collection_name=three, order_by=order, limit=2))
    assert [(point.id.num, point.order_value.int) for point in page.result] == [(2, 2), (1, 1)]
    assert not page.HasField("next_page_offset")


def test_order_needs_an_index_and_no_offset(points: pb.PointsStub, client: QdrantClient, three: str) -> None:
    request = pb.ScrollPoints(collection_name=three, order_by=pb.OrderBy(key="n"))
    status, details = refusal(lambda: points.Scroll(request))
    assert status is INVALID
    assert details.startswith("Wrong input: No range index for `order_by` key: `n`.")
    client.create_payload_index(three, "n", models.PayloadSchemaType.INTEGER, wait=True)
    assert len(points.Scroll(request).result) == 3
    request.offset.num = 1
    status, details = refusal(lambda: points.Scroll(request))
    assert status is INVALID
    assert details.startswith("Wrong input: Cannot use an `offset` when using `order_by`.")


def test_zero_limit_is_refused(points: pb.PointsStub, three: str) -> None:
    assert refusal(lambda: points.Scroll(pb.ScrollPoints(collection_name=three, limit=0))) == (
        INVALID,
        "Validation error in body: [limit: value 0 invalid, must be 1 or larger]",
    )


@pytest.mark.parametrize("exact", [None, True])
def test_count(points: pb.PointsStub, three: str, exact: bool | None) -> None:
    assert points.Count(pb.CountPoints(collection_name=three, exact=exact)).result.count == 3
    filtered = pb.CountPoints(collection_name=three, exact=exact, filter=where("a").filter)
    assert points.Count(filtered).result.count == 1


def test_missing_collection(points: pb.PointsStub) -> None:
    for call in (
        lambda: points.Count(pb.CountPoints(collection_name="nowhere")),
        lambda: points.Upsert(pb.UpsertPoints(collection_name="nowhere")),
        lambda: points.Query(pb.QueryPoints(collection_name="nowhere")),
    ):
        assert refusal(call) == (NOT_FOUND, "Not found: Collection `nowhere` doesn't exist!")


def test_shard_keys_are_not_served(points: pb.PointsStub, three: str) -> None:
    keys = pb.ShardKeySelector(shard_keys=[pb.ShardKey(keyword="a")])
    status, details = refusal(lambda: points.Count(pb.CountPoints(collection_name=three, shard_key_selector=keys)))
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert "shard_key_selector" in details


# Delete, vectors, payload


def test_delete_by_ids_and_filter(points: pb.PointsStub, three: str) -> None:
    points.Delete(pb.DeletePoints(collection_name=three, points=ids(1, 99), wait=True))
    assert set(everything(points, three)) == {2, 3}
    points.Delete(pb.DeletePoints(collection_name=three, points=where("b"), wait=True))
    assert set(everything(points, three)) == {3}


def test_delete_needs_a_selector(points: pb.PointsStub, three: str) -> None:
    assert refusal(lambda: points.Delete(pb.DeletePoints(collection_name=three))) == (
        INVALID,
        "PointSelector is missing",
    )
    empty = pb.DeletePoints(collection_name=three, points=pb.PointsSelector())
    assert refusal(lambda: points.Delete(empty)) == (INVALID, "Malformed PointsSelector type")
    assert set(everything(points, three)) == {1, 2, 3}


def _update(points: pb.PointsStub, collection: str, *entries: pb.PointVectors, **more: Any) -> pb.UpdateResult:
    request = pb.UpdatePointVectors(collection_name=collection, points=entries, **{"wait": True, **more})
    return points.UpdateVectors(request).result


def test_update_vectors_keeps_payload_and_other_vectors(points: pb.PointsStub, three: str) -> None:
    sparse = pb.Vector(sparse=pb.SparseVector(indices=[3], values=[1.0]))
    _update(points, three, pb.PointVectors(id=num(1), vectors=named(sparse=sparse)))
    point = get(points, three, num(1))
    assert set(point.vectors.vectors.vectors) == {"", "sparse"}
    assert point.payload["n"] == integer(1)


def test_update_vectors_checks_the_batch_first(points: pb.PointsStub, three: str) -> None:
    status, _ = refusal(
        lambda: _update(
            points,
            three,
            pb.PointVectors(id=num(1), vectors=one(dense(9, 9, 9, 9))),
            pb.PointVectors(id=num(2), vectors=one(dense(9, 9, 9))),
        )
    )
    assert status is INVALID
    assert list(get(points, three, num(1)).vectors.vector.dense.data) == [1, 0, 0, 1]


def test_missing_point_is_told_only_to_those_who_wait(points: pb.PointsStub, three: str) -> None:
    entry = pb.PointVectors(id=num(77), vectors=one(dense(9, 9, 9, 9)))
    assert refusal(lambda: _update(points, three, entry)) == (NOT_FOUND, "Not found: No point with id 77 found")
    assert _update(points, three, entry, wait=False).status == ACKNOWLEDGED
    assert 77 not in everything(points, three)


def test_delete_vectors(points: pb.PointsStub, three: str) -> None:
    selector = pb.VectorsSelector(names=[""])
    points.DeleteVectors(
        pb.DeletePointVectors(collection_name=three, points_selector=ids(1), vectors=selector, wait=True)
    )
    points.DeleteVectors(
        pb.DeletePointVectors(collection_name=three, points_selector=where("b"), vectors=selector, wait=True)
    )
    left = {number: point.vectors.HasField("vector") for number, point in everything(points, three).items()}
    assert left == {1: False, 2: False, 3: True}


@pytest.mark.parametrize(
    ("names", "text_"),
    [([], "must specify vector names to delete"), (["x"], "Not existing vector name error: x")],
)
def test_delete_vectors_checks_names(points: pb.PointsStub, three: str, names: list[str], text_: str) -> None:
    request = pb.DeletePointVectors(
        collection_name=three, points_selector=ids(1), vectors=pb.VectorsSelector(names=names)
    )
    status, details = refusal(lambda: points.DeleteVectors(request))
    assert (status, text_ in details) == (INVALID, True)


def _payload(points: pb.PointsStub, collection: str, number: int) -> dict[str, pb.Value]:
    return dict(get(points, collection, num(number)).payload)


def test_set_payload_merges(points: pb.PointsStub, three: str) -> None:
    request = pb.SetPayloadPoints(
        collection_name=three, payload={"new": integer(5)}, points_selector=ids(1, 2), wait=True
    )
    points.SetPayload(request)
    assert _payload(points, three, 1) == {"n": integer(1), "word": text("a"), "new": integer(5)}
    assert "new" not in _payload(points, three, 3)


def test_set_payload_below_a_key(points: pb.PointsStub, three: str) -> None:
    for value in (1, 2):
        points.SetPayload(
            pb.SetPayloadPoints(
                collection_name=three,
                payload={f"v{value}": integer(value)},
                key="deep.er",
                points_selector=where("a"),
                wait=True,
            )
        )
    deep = _payload(points, three, 1)["deep"].struct_value.fields["er"].struct_value.fields
    assert dict(deep) == {"v1": integer(1), "v2": integer(2)}


def test_overwrite_payload_replaces(points: pb.PointsStub, three: str) -> None:
    points.OverwritePayload(
        pb.SetPayloadPoints(
            collection_name=three, payload={"only": integer(5)}, points_selector=ids(1), key="ignored", wait=True
        )
    )
    assert _payload(points, three, 1) == {"only": integer(5)}


def test_delete_and_clear_payload(points: pb.PointsStub, three: str) -> None:
    points.DeletePayload(
        pb.DeletePayloadPoints(collection_name=three, keys=["n", "no.such"], points_selector=ids(1), wait=True)
    )
    points.ClearPayload(pb.ClearPayloadPoints(collection_name=three, points=where("b"), wait=True))
    assert _payload(points, three, 1) == {"word": text("a")}
    assert _payload(points, three, 2) == {}
    assert len(_payload(points, three, 3)) == 2


@pytest.mark.parametrize("rpc", ["SetPayload", "OverwritePayload"])
def test_payload_writes_to_missing_points(points: pb.PointsStub, three: str, rpc: str) -> None:
    request = pb.SetPayloadPoints(collection_name=three, payload={"x": integer(1)}, points_selector=ids(77), wait=True)
    assert refusal(lambda: getattr(points, rpc)(request)) == (NOT_FOUND, "Not found: No point with id 77 found")


def test_payload_writes_need_a_selector(points: pb.PointsStub, three: str) -> None:
    request = pb.SetPayloadPoints(collection_name=three, payload={"x": integer(1)})
    assert refusal(lambda: points.SetPayload(request)) == (
        INVALID,
        "Bad request: No filter or points provided",
    )


def test_bad_key_path_is_refused(points: pb.PointsStub, three: str) -> None:
    request = pb.SetPayloadPoints(collection_name=three, payload={"x": integer(1)}, key="a.[", points_selector=ids(1))
    assert refusal(lambda: points.SetPayload(request)) == (INVALID, "Invalid json path: 'a.['")


# Batches


def test_update_batch_runs_every_kind_in_order(points: pb.PointsStub, three: str) -> None:
    operation = pb.PointsUpdateOperation
    new = pb.PointStruct(id=num(4), vectors=one(dense(4, 0, 0, 1)), payload={"n": integer(4)})
    sparse = named(sparse=pb.Vector(sparse=pb.SparseVector(indices=[1], values=[1.0])))
    operations = [
        operation(upsert=operation.PointStructList(points=[new])),
        operation(set_payload=operation.SetPayload(payload={"a": integer(1)}, points_selector=ids(4))),
        operation(overwrite_payload=operation.OverwritePayload(payload={"b": integer(2)}, points_selector=ids(1))),
        operation(delete_payload=operation.DeletePayload(keys=["n"], points_selector=ids(2))),
        operation(clear_payload=operation.ClearPayload(points=ids(3))),
        operation(update_vectors=operation.UpdateVectors(points=[pb.PointVectors(id=num(4), vectors=sparse)])),
        operation(
            delete_vectors=operation.DeleteVectors(points_selector=ids(4), vectors=pb.VectorsSelector(names=[""]))
        ),
        operation(delete_points=operation.DeletePoints(points=ids(2))),
        operation(delete_deprecated=ids(3)),
        operation(clear_payload_deprecated=ids(1)),
    ]
    result = points.UpdateBatch(pb.UpdateBatchPoints(collection_name=three, operations=operations, wait=True)).result
    assert [one_result.status for one_result in result] == [COMPLETED] * len(operations)
    numbers = [one_result.operation_id for one_result in result]
    assert numbers == list(range(numbers[0], numbers[0] + len(operations)))
    left = everything(points, three)
    assert set(left) == {1, 4}
    assert not left[1].payload
    assert dict(left[4].payload) == {"n": integer(4), "a": integer(1)}
    assert set(left[4].vectors.vectors.vectors) == {"sparse"}


def test_update_batch_stops_at_the_first_failure(points: pb.PointsStub, three: str) -> None:
    operation = pb.PointsUpdateOperation
    operations = [
        operation(delete_points=operation.DeletePoints(points=ids(1))),
        operation(set_payload=operation.SetPayload(payload={"a": integer(1)}, points_selector=ids(77))),
        operation(delete_points=operation.DeletePoints(points=ids(2))),
    ]
    request = pb.UpdateBatchPoints(collection_name=three, operations=operations, wait=True)
    assert refusal(lambda: points.UpdateBatch(request))[0] is NOT_FOUND
    assert set(everything(points, three)) == {2, 3}


@pytest.mark.parametrize("operations", [[], [pb.PointsUpdateOperation()]])
def test_update_batch_needs_operations(
    points: pb.PointsStub, three: str, operations: list[pb.PointsUpdateOperation]
) -> None:
    request = pb.UpdateBatchPoints(collection_name=three, operations=operations)
    assert refusal(lambda: points.UpdateBatch(request))[0] is INVALID


def test_versions_are_the_operations_numbers(points: pb.PointsStub, three: str) -> None:
    changed = points.SetPayload(
        pb.SetPayloadPoints(collection_name=three, payload={"x": integer(1)}, points_selector=ids(2), wait=True)
    ).result.operation_id
    nearest = pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[1, 0, 0, 0])))
    found = points.Query(pb.QueryPoints(collection_name=three, query=nearest)).result
    assert {point.id.num: point.version for point in found} == {1: 0, 2: changed, 3: 0}


@pytest.fixture
def aliased(client: QdrantClient, three: str) -> str:
    """The collection under another name."""
    alias = f"{three}-alias"[:200]
    create = models.CreateAlias(collection_name=three, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    return alias


def test_aliases_serve_reads_and_writes(points: pb.PointsStub, three: str, aliased: str) -> None:
    points.Delete(pb.DeletePoints(collection_name=aliased, points=ids(1), wait=True))
    assert set(everything(points, aliased)) == set(everything(points, three)) == {2, 3}
