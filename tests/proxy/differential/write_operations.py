"""Writes of every kind, in an order in which each finds something to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdrant_client import grpc as pb
from qdrant_client import models

from . import library
from .library import dense, payload, point_id, rows, sparse
from .sides import Call

LARGEST = 2**64 - 1
UUID = "936DA01F-9ABD-4D9D-80C7-02AF85C822A8"
Field = models.FieldCondition
BERLIN = models.Filter(must=[Field(key="s_city", match=models.MatchValue(value="Berlin"))])
YOUNG = models.Filter(must=[Field(key="age", range=models.Range(lt=4))])
HAS_MAYBE = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key="secret.maybe"))])
ONE, TWO, THREE, FOUR = (point_id(number) for number in (1, 2, 3, 4))


def _ids(*points: int | str) -> models.PointIdsList:
    return models.PointIdsList(points=list(points))


def upserts(name: str) -> Iterator[tuple[str, Call]]:
    """Points in every form: whole, partial, columns, deprecated vectors, extreme ids, conditional."""
    yield "points", lambda on: on.client.upsert(on.name(name), library.named_points()[:30], wait=True)
    yield (
        "columns",
        lambda on: on.client.upsert(
            on.name(name),
            models.Batch(
                ids=[101, 102, UUID],
                vectors={"text": [dense(1), dense(2), dense(3)], "words": [sparse(1), sparse(2), sparse(3)]},
                payloads=[payload(1), {}, {"secret": {"k": "ü" * 500}}],
            ),
            wait=True,
        ),
    )
    yield (
        "extreme-ids",
        lambda on: on.client.upsert(
            on.name(name),
            [
                models.PointStruct(id=0, vector={"image": dense(1, library.IMAGE_DIMS)}, payload={"city": "zero"}),
                models.PointStruct(id=LARGEST, vector={"text": dense(7)}, payload={"city": "last"}),
                models.PointStruct(id="0" * 32, vector={}, payload={"secret": "nil"}),
                models.PointStruct(id="{936da01f-9abd-4d9d-80c7-02af85c822a9}", vector={"tokens": rows(2)}),
                models.PointStruct(id="urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822aa", vector={"bm25": sparse(9)}),
            ],
            wait=True,
        ),
    )
    yield "same-again", lambda on: on.client.upsert(on.name(name), library.named_points()[:3], wait=True)
    yield (
        "replaced",
        lambda on: on.client.upsert(
            on.name(name),
            [
                models.PointStruct(id=ONE, vector={"text": dense(50)}, payload={"city": "new", "s_city": "new"}),
                models.PointStruct(id=TWO, vector={"tokens": rows(51)}),
                models.PointStruct(id=UUID.lower().replace("-", ""), vector={"words": sparse(52)}, payload={"a": 1}),
            ],
            wait=True,
        ),
    )
    yield (
        "same-id-twice",
        lambda on: on.client.upsert(
            on.name(name),
            [
                models.PointStruct(id=103, vector={"text": dense(number)}, payload={"age": number})
                for number in (1, 2, 3)
            ],
            wait=True,
        ),
    )
    yield (
        "not-waited-for",
        lambda on: on.client.upsert(on.name(name), [models.PointStruct(id=104, vector={"text": dense(4)})], wait=False),
    )
    yield "deprecated", lambda on: on.points.Upsert(_deprecated(on.name(name)))
    yield (
        "only-where",
        lambda on: on.client.upsert(
            on.name(name),
            [
                models.PointStruct(
                    id=point_id(number), vector={"text": dense(60 + number)}, payload={"city": "changed"}
                )
                for number in (4, 5, 7, 8, 200)
            ],
            update_filter=BERLIN,
            wait=True,
        ),
    )
    for mode in models.UpdateMode:
        yield (
            f"mode-{mode.value}",
            lambda on, mode=mode: on.client.upsert(
                on.name(name),
                [
                    models.PointStruct(id=identity, vector={"text": dense(70)}, payload={"secret": mode.value})
                    for identity in (FOUR, 300 + list(models.UpdateMode).index(mode))
                ],
                update_mode=mode,
                wait=True,
            ),
        )
    yield "uploaded", lambda on: on.client.upload_points(on.name(name), library.named_points()[30:40], wait=True)


def _deprecated(collection: str) -> pb.UpsertPoints:
    """Vectors in the fields that older clients use."""
    words, flat = sparse(80), [number for row in rows(81, 2) for number in row]
    vectors = {
        "text": pb.Vector(data=dense(82)),
        "words": pb.Vector(data=words.values, indices=pb.SparseIndices(data=words.indices)),
        "tokens": pb.Vector(data=flat, vectors_count=2),
    }
    point = pb.PointStruct(id=pb.PointId(num=105), vectors=pb.Vectors(vectors=pb.NamedVectors(vectors=vectors)))
    point.payload["s_city"].string_value = "Berlin"
    return pb.UpsertPoints(collection_name=collection, points=[point], wait=True)


def vectors(name: str) -> Iterator[tuple[str, Call]]:
    """Vectors changed and removed on their own."""

    def update(points: dict[int | str, Any], **asked: Any) -> Call:
        entries = [models.PointVectors(id=identity, vector=vector) for identity, vector in points.items()]
        return lambda on: on.client.update_vectors(on.name(name), entries, wait=True, **asked)

    yield "one", update({ONE: {"text": dense(200)}})
    yield (
        "several",
        update({ONE: {"text": dense(201), "image": dense(202, library.IMAGE_DIMS)}, TWO: {"text": dense(3)}}),
    )
    yield "sparse", update({THREE: {"words": sparse(203)}, FOUR: {"words": sparse(204), "bm25": sparse(205)}})
    yield "multivector", update({point_id(11): {"tokens": rows(206, 4)}, THREE: {"tokens": rows(207, 1)}})
    yield "again", update({ONE: {"text": dense(208)}, TWO: {"tokens": rows(209)}})
    yield (
        "twice-in-one-call",
        lambda on: on.client.update_vectors(
            on.name(name),
            [models.PointVectors(id=ONE, vector={"text": dense(number)}) for number in (210, 211)],
            wait=True,
        ),
    )
    yield (
        "only-where",
        update({point_id(number): {"text": dense(220 + number)} for number in range(1, 12)}, update_filter=BERLIN),
    )
    yield (
        "no-vectors",
        lambda on: on.points.UpdateVectors(pb.UpdatePointVectors(collection_name=on.name(name), wait=True)),
    )
    yield "removed", lambda on: on.client.delete_vectors(on.name(name), ["image", "words"], points=[ONE, THREE])
    yield "removed-where", lambda on: on.client.delete_vectors(on.name(name), ["tokens"], points=BERLIN)
    yield "removed-missing", lambda on: on.client.delete_vectors(on.name(name), ["text"], points=[987_654])
    yield "put-back", update({ONE: {"image": dense(230, library.IMAGE_DIMS), "words": sparse(231)}})


def payloads(name: str) -> Iterator[tuple[str, Call]]:
    """Payload set, replaced, removed and cleared, at key paths of each mode, by id and by filter."""

    def put(new: dict[str, Any], points: Any, **asked: Any) -> Call:
        return lambda on: on.client.set_payload(on.name(name), new, points=points, wait=True, **asked)

    def drop(keys: list[str], points: Any) -> Call:
        return lambda on: on.client.delete_payload(on.name(name), keys, points=points, wait=True)

    nested = {"x": 1, "y": {"z": ["ä", None, True, 2.5, {"w": "deep"}]}}
    yield "set", put({"city": "set", "s_city": "set", "secret": {"only": "this"}, "fresh": nested}, [ONE, TWO])
    yield "set-more", put({"secret": {"other": 1.0}, "age": 3}, [ONE])
    yield (
        "set-types",
        put(
            {
                "a": None,
                "b": [],
                "c": {},
                "d": "",
                "e": 0,
                "f": -(2**63),
                "g": 2**63 - 1,
                "h": 1e308,
                "i": 5.0,
                "j": False,
            },
            [THREE],
        ),
    )
    yield "set-where", put({"s_city": "moved", "secret": {"by": "filter"}, "age": 99}, BERLIN)
    yield "set-where-more", put({"note": "by filter as well"}, HAS_MAYBE)
    yield "set-where-none", put({"city": "nobody"}, models.Filter(must=[models.HasIdCondition(has_id=[])]))
    for mark in ("", "s_", "secret."):
        yield f"key-{mark}", put({"p": "new", "q": {"r": [1]}}, [point_id(8), point_id(9)], key=f"{mark}items")
        yield f"key-deep-{mark}", put({"v": "deep"}, [point_id(8)], key=f"{mark}tree.branch.leaf")
        yield f"key-index-{mark}", put({"n": 77}, [point_id(5), point_id(7)], key=f"{mark}items[0]")
        yield f"key-every-{mark}", put({"n": 78}, [point_id(5), point_id(7)], key=f"{mark}items[]")
        yield f"key-where-{mark}", put({"v": "where"}, YOUNG, key=f"{mark}where.below")
        yield f"key-over-text-{mark}", put({"v": "over"}, [point_id(10)], key=f"{mark}city")
    yield "key-quoted", put({"v": 1}, [ONE], key='fresh."a.b"."ö ß"')
    yield "set-nothing", put({}, [ONE])
    yield "set-nobody", put({"city": "x"}, [])
    yield (
        "overwrite",
        lambda on: on.client.overwrite_payload(
            on.name(name),
            {"city": "over", "s_tags": ["red", "x"], "secret": nested},
            points=[TWO, point_id(13)],
            wait=True,
        ),
    )
    yield (
        "overwrite-where",
        lambda on: on.client.overwrite_payload(on.name(name), {"secret": "all that is left"}, points=YOUNG, wait=True),
    )
    yield "overwrite-nothing", lambda on: on.client.overwrite_payload(on.name(name), {}, points=[FOUR], wait=True)
    yield "delete", drop(["city", "s_city", "secret", "nowhere"], [TWO, point_id(14)])
    yield (
        "delete-deep",
        drop(["secret.note", "items[].name", "s_items[].n", "items[0]", "s_maybe.deep"], [point_id(16)]),
    )
    yield "delete-quoted", drop(['fresh."a.b"'], [ONE])
    yield "delete-where", drop(["age", "secret.pi"], HAS_MAYBE)
    yield "clear", lambda on: on.client.clear_payload(on.name(name), points_selector=_ids(point_id(17)), wait=True)
    yield (
        "clear-where",
        lambda on: on.client.clear_payload(
            on.name(name),
            points_selector=models.FilterSelector(
                filter=models.Filter(must=[Field(key="s_city", match=models.MatchValue(value="moved"))])
            ),
            wait=True,
        ),
    )
    yield "set-after-clear", put({"secret": {"back": True}}, [point_id(17)])


def batches(name: str) -> Iterator[tuple[str, Call]]:
    """Several operations in one call, in their order."""
    operations: list[Any] = [
        models.UpsertOperation(
            upsert=models.PointsList(
                points=[models.PointStruct(id=500, vector={"text": dense(500)}, payload={"s_city": "batch"})]
            )
        ),
        models.SetPayloadOperation(
            set_payload=models.SetPayload(payload={"secret": {"n": 1}}, points=[500], key="inner")
        ),
        models.UpdateVectorsOperation(
            update_vectors=models.UpdateVectors(
                points=[models.PointVectors(id=500, vector={"text": dense(501), "words": sparse(502)})]
            )
        ),
        models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(payload={"s_city": "overwritten", "age": 5}, points=[500, ONE])
        ),
        models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["age"], points=[ONE])),
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=[FOUR], vector=["text"])),
        models.ClearPayloadOperation(clear_payload=_ids(THREE)),
        models.SetPayloadOperation(
            set_payload=models.SetPayload(
                payload={"secret": "found in the same batch"},
                filter=models.Filter(must=[Field(key="s_city", match=models.MatchValue(value="overwritten"))]),
            )
        ),
        models.DeleteOperation(delete=_ids(point_id(20))),
        models.UpsertOperation(
            upsert=models.PointsBatch(batch=models.Batch(ids=[501, 502], vectors={"text": [dense(1), dense(2)]}))
        ),
    ]
    yield "all-kinds", lambda on: on.client.batch_update_points(on.name(name), operations, wait=True)
    yield "not-waited-for", lambda on: on.client.batch_update_points(on.name(name), operations[1:3], wait=False)
    yield (
        "deprecated-kinds",
        lambda on: on.points.UpdateBatch(
            pb.UpdateBatchPoints(
                collection_name=on.name(name),
                wait=True,
                operations=[
                    pb.PointsUpdateOperation(delete_deprecated=_selector(501)),
                    pb.PointsUpdateOperation(clear_payload_deprecated=_selector(500)),
                ],
            )
        ),
    )


def _selector(*numbers: int) -> pb.PointsSelector:
    return pb.PointsSelector(points=pb.PointsIdsList(ids=[pb.PointId(num=number) for number in numbers]))


def deletes(name: str) -> Iterator[tuple[str, Call]]:
    """Points removed by id and by filter."""
    yield "ids", lambda on: on.client.delete(on.name(name), points_selector=_ids(ONE, TWO, UUID, 123_456), wait=True)
    yield "none", lambda on: on.client.delete(on.name(name), points_selector=_ids(), wait=True)
    yield (
        "where-searchable",
        lambda on: on.client.delete(
            on.name(name),
            points_selector=models.FilterSelector(
                filter=models.Filter(must=[Field(key="s_city", match=models.MatchAny(any=["Zürich", "東京"]))])
            ),
            wait=True,
        ),
    )
    yield (
        "where-plain",
        lambda on: on.client.delete(on.name(name), points_selector=models.FilterSelector(filter=YOUNG), wait=True),
    )
    yield (
        "where-has-vector",
        lambda on: on.client.delete(
            on.name(name),
            points_selector=models.FilterSelector(
                filter=models.Filter(must_not=[models.HasVectorCondition(has_vector="text")])
            ),
            wait=True,
        ),
    )
    yield (
        "everything",
        lambda on: on.client.delete(
            on.name(name), points_selector=models.FilterSelector(filter=models.Filter()), wait=True
        ),
    )
    yield "written-again", lambda on: on.client.upsert(on.name(name), library.named_points()[:5], wait=True)


def unnamed(name: str) -> Iterator[tuple[str, Call]]:
    """The same on a collection whose only vector has no name."""
    yield "points", lambda on: on.client.upsert(on.name(name), library.unnamed_points()[:12], wait=True)
    yield (
        "columns",
        lambda on: on.client.upsert(
            on.name(name),
            models.Batch(ids=[40, 41], vectors=[dense(40), dense(41)], payloads=[{"a": "b"}, {}]),
            wait=True,
        ),
    )
    yield (
        "deprecated",
        lambda on: on.points.Upsert(
            pb.UpsertPoints(
                collection_name=on.name(name),
                wait=True,
                points=[pb.PointStruct(id=pb.PointId(num=42), vectors=pb.Vectors(vector=pb.Vector(data=dense(42))))],
            )
        ),
    )
    yield (
        "zero-vector",
        lambda on: on.client.upsert(on.name(name), [models.PointStruct(id=43, vector=[0.0] * library.DIMS)], wait=True),
    )
    yield (
        "vectors",
        lambda on: on.client.update_vectors(
            on.name(name),
            [models.PointVectors(id=ONE, vector=dense(300)), models.PointVectors(id=TWO, vector=dense(301))],
        ),
    )
    yield "vectors-removed", lambda on: on.client.delete_vectors(on.name(name), [""], points=[ONE])
    yield "payload", lambda on: on.client.set_payload(on.name(name), {"secret": {"x": 1}}, points=[ONE, 40])
    yield "huge-text", lambda on: on.client.set_payload(on.name(name), {"note": "x" * 1_000_000}, points=[TWO])
    yield (
        "uploaded",
        lambda on: on.client.upload_collection(
            on.name(name), vectors=[dense(60), dense(61)], payload=[{"k": 1}, {"k": 2}], ids=[60, 61], wait=True
        ),
    )
    yield "deleted", lambda on: on.client.delete(on.name(name), points_selector=_ids(THREE, 42), wait=True)


STAGES = (upserts, vectors, payloads, batches, deletes)
