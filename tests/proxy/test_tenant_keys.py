"""Where each tenant has keys of its own: what one is written under, what is refused, and what a shred leaves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import DIMS, Guarded, dense, guarded, refusal
from vecguard.front.qdrant import metadata as meta
from vecguard.seal.envelope import epoch_of, from_text

POLICY = """
version: 1
access: {anonymous: [read, write]}
collections:
  - {match: "open-*", protect: none}
  - match: "many-*"
    tenant_keys: {field: who.tenant}
    payload:
      fields: {who.tenant: searchable, city: searchable, open: plain, age: range, text: tokens}
  - match: "dark-*"
    tenant_keys: {field: who.tenant}
    ids: encrypted
    retention: 90d
    payload:
      hash_names: true
      fields: {who.tenant: searchable, city: searchable, age: range}
"""
CITIES = ("Ulm", "Bonn")
NOT_ULM = q.Match(except_keywords=q.RepeatedStrings(strings=["Ulm"]))
O = q.PointsUpdateOperation  # noqa: E741 - short, as it is named in every line
names = (f"many-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(engine, tmp_path_factory.mktemp("tenants"), POLICY) as running:
        yield running


@pytest.fixture
def name(place: Guarded) -> Iterator[str]:
    made = next(names)
    create(place, made)
    yield made
    place.rest.collections.Delete(q.DeleteCollection(collection_name=made))
    place.forget()


def create(place: Guarded, made: str) -> None:
    """A collection with points 0..3 of `ada`, 4..7 of `bob`: dense `d`, multi `m` and sparse `s`."""
    ask = q.CreateCollection(collection_name=made)
    params = ask.vectors_config.params_map.map
    params["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    params["m"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Dot))
    params["m"].multivector_config.comparator = q.MultiVectorComparator.MaxSim
    ask.sparse_vectors_config.map["s"].SetInParent()
    place.client.collections.Create(ask)
    points = [point(number, "ada" if number < 4 else "bob") for number in range(8)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=made, points=points, wait=True))


def row(number: int) -> list[float]:
    draw = np.random.default_rng(number).standard_normal(DIMS)
    return [float(x) for x in (draw / np.linalg.norm(draw)).astype(np.float32)]


def vectors_of(number: int) -> q.Vectors:
    rows = q.MultiDenseVector(vectors=[q.DenseVector(data=row(number)), q.DenseVector(data=row(number + 50))])
    sparse = q.SparseVector(indices=[number, 5000], values=[0.5, 2.0])
    named = {"d": dense(row(number)), "m": q.Vector(multi_dense=rows), "s": q.Vector(sparse=sparse)}
    return q.Vectors(vectors=q.NamedVectors(vectors=named))


def text(value: str) -> q.Value:
    return q.Value(string_value=value)


def who(tenant: q.Value) -> q.Value:
    return q.Value(struct_value=q.Struct(fields={"tenant": tenant}))


def point(number: int, tenant: str) -> q.PointStruct:
    payload = {
        "who": who(text(tenant)),
        "city": text(CITIES[number % 2]),
        "open": text("seen"),
        "secret": text(f"secret of {tenant} {number}"),
        "age": q.Value(integer_value=number),
        "text": text(f"word{number} common"),
    }
    return q.PointStruct(id=q.PointId(num=number), vectors=vectors_of(number), payload=payload)


def scroll(place: Guarded, name: str, *conditions: q.Condition, limit: int = 100) -> dict[int, q.RetrievedPoint]:
    ask = q.ScrollPoints(collection_name=name, limit=limit, filter=q.Filter(must=conditions))
    ask.with_payload.enable = ask.with_vectors.enable = True
    return {found.id.num: found for found in place.client.points.Scroll(ask).result}


def search(place: Guarded, name: str, number: int, *conditions: q.Condition, limit: int = 8) -> list[int]:
    ask = q.QueryPoints(collection_name=name, using="d", limit=limit, filter=q.Filter(must=conditions))
    ask.query.nearest.dense.data.extend(row(number))
    return [found.id.num for found in place.client.points.Query(ask).result]


def match(key: str, value: str) -> q.Condition:
    return q.Condition(field=q.FieldCondition(key=key, match=q.Match(keyword=value)))


def of(tenant: str) -> q.Condition:
    return match("who.tenant", tenant)


def keys_at_rest(place: Guarded, name: str) -> dict[str, str]:
    prefix = f"{meta.CORE}.tenant."
    return {key: value for key, value in place.metadata(name).items() if key.startswith(prefix)}


def marks(place: Guarded, name: str, *numbers: int) -> list[int]:
    return [stored.payload["_vgk"].integer_value for stored in place.stored(name, *numbers)]


def test_each_tenant_has_a_key_and_records_name_it(place: Guarded, name: str) -> None:
    held = keys_at_rest(place, name)
    assert len(held) == 2
    found = marks(place, name, *range(8))
    assert {len(set(found[:4])), len(set(found[4:]))} == {1}
    assert {f"{meta.CORE}.tenant.{mark:08x}" for mark in found} == set(held)
    # A longer name: three letters may stand in any text that is sealed, by chance.
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point(8, "adalbert-stifter")], wait=True))
    assert len(keys_at_rest(place, name)) == 3
    assert "adalbert" not in str(keys_at_rest(place, name))
    assert "adalbert" not in str(place.stored(name, 8))
    shown = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=name))
    assert not shown.result.config.metadata


def test_reads_go_over_all_tenants_and_give_back_what_was_written(place: Guarded, name: str) -> None:
    found = scroll(place, name)
    assert set(found) == set(range(8))
    for number, got in found.items():
        wanted = point(number, "ada" if number < 4 else "bob")
        assert dict(got.payload) == dict(wanted.payload)
        assert np.allclose(got.vectors.vectors.vectors["d"].dense.data, row(number), atol=1e-5)
        assert np.allclose(got.vectors.vectors.vectors["m"].multi_dense.vectors[1].data, row(number + 50), atol=1e-5)
        assert sorted(got.vectors.vectors.vectors["s"].sparse.indices) == [number, 5000]
    assert sorted(search(place, name, 3)) == list(range(8))
    assert search(place, name, 3)[0] == 3
    assert sorted(search(place, name, 3, of("ada"))) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        (match("city", "Ulm"), {0, 2, 4, 6}),
        (q.Condition(field=q.FieldCondition(key="age", range=q.Range(gte=2, lt=6))), {2, 3, 4, 5}),
        (q.Condition(field=q.FieldCondition(key="age", match=q.Match(integer=5))), {5}),
        (q.Condition(field=q.FieldCondition(key="text", match=q.Match(text="common word6"))), {6}),
        (q.Condition(field=q.FieldCondition(key="city", match=NOT_ULM)), {1, 3, 5, 7}),
    ],
    ids=["searchable", "range", "equal", "tokens", "except"],
)
def test_filters_over_all_tenants_and_over_one(
    place: Guarded, name: str, condition: q.Condition, numbers: set[int]
) -> None:
    assert set(scroll(place, name, condition)) == numbers
    assert set(scroll(place, name, condition, of("ada"))) == {n for n in numbers if n < 4}
    either = q.Filter(should=[q.Condition(filter=q.Filter(must=[of("ada"), condition])), of("nobody")])
    assert set(scroll(place, name, q.Condition(filter=either))) == {n for n in numbers if n < 4}
    assert set(scroll(place, name, condition, of("nobody"))) == set()


def test_the_same_value_looks_different_under_another_tenant(place: Guarded, name: str) -> None:
    stored = place.stored(name, 0, 2, 4)
    tokens = [held.payload["_p"].struct_value.fields["city"].string_value for held in stored]
    assert tokens[0] == tokens[1] != tokens[2]
    labels = [held.payload["_p"].struct_value.fields["_vgl_text"].list_value.values for held in stored]
    words = [{value.string_value for value in held} for held in labels]
    assert len(words[0] & words[1]) == 1  # `common`
    assert not words[0] & words[2]


def test_facets_and_groups_add_up_over_tenants(place: Guarded, name: str) -> None:
    index = q.CreateFieldIndexCollection(collection_name=name, field_name="city", wait=True)
    index.field_type = q.FieldType.FieldTypeKeyword
    place.client.points.CreateFieldIndex(index)
    answer = place.client.points.Facet(q.FacetCounts(collection_name=name, key="city"))
    assert {hit.value.string_value: hit.count for hit in answer.hits} == {"Ulm": 4, "Bonn": 4}
    one = q.FacetCounts(collection_name=name, key="city", filter=q.Filter(must=[of("bob")]))
    assert {hit.value.string_value: hit.count for hit in place.client.points.Facet(one).hits} == {"Ulm": 2, "Bonn": 2}
    ask = q.QueryPointGroups(collection_name=name, using="d", group_by="city", limit=2, group_size=4)
    ask.query.nearest.dense.data.extend(row(0))
    groups = place.client.points.QueryGroups(ask).result.groups
    assert {group.id.string_value: {hit.id.num for hit in group.hits} for group in groups} == {
        "Ulm": {0, 2, 4, 6},
        "Bonn": {1, 3, 5, 7},
    }


def set_payload(
    name: str, payload: dict[str, q.Value], selector: q.PointsSelector, key: str | None = None
) -> q.SetPayloadPoints:
    return q.SetPayloadPoints(collection_name=name, payload=payload, points_selector=selector, key=key, wait=True)


def ids(*numbers: int) -> q.PointsSelector:
    return q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=number) for number in numbers]))


def where(*conditions: q.Condition) -> q.PointsSelector:
    return q.PointsSelector(filter=q.Filter(must=conditions))


def test_parts_of_points_are_written_under_their_own_tenants_keys(place: Guarded, name: str) -> None:
    client = place.client.points
    before = marks(place, name, *range(8))
    client.SetPayload(set_payload(name, {"secret": text("by id")}, ids(0, 4)))
    client.SetPayload(set_payload(name, {"secret": text("by filter")}, where(match("city", "Bonn"))))
    client.SetPayload(set_payload(name, {"more": text("below")}, ids(1, 5), key="who"))
    client.SetPayload(set_payload(name, {"who": who(text("bob")), "secret": text("said")}, ids(6)))
    client.OverwritePayload(set_payload(name, {"who": who(text("ada")), "secret": text("whole")}, ids(2)))
    new = q.PointVectors(id=q.PointId(num=3), vectors=vectors_of(33))
    other = q.PointVectors(id=q.PointId(num=7), vectors=vectors_of(77))
    client.UpdateVectors(q.UpdatePointVectors(collection_name=name, points=[new, other], wait=True))
    found = scroll(place, name)
    secrets = [found[number].payload["secret"].string_value for number in range(8)]
    assert secrets == ["by id", *["by filter", "whole", "by filter"], "by id", "by filter", "said", "by filter"]
    assert found[1].payload["who"].struct_value.fields["more"].string_value == "below"
    assert set(found[2].payload) == {"who", "secret"}
    assert np.allclose(found[3].vectors.vectors.vectors["d"].dense.data, row(33), atol=1e-5)
    assert np.allclose(found[7].vectors.vectors.vectors["m"].multi_dense.vectors[0].data, row(77), atol=1e-5)
    assert marks(place, name, *range(8)) == before
    sealed = [held.payload["_p"].struct_value.fields["secret"] for held in place.stored(name, *range(8))]
    assert [epoch_of(from_text(value.string_value)) for value in sealed] == before


def batch(name: str, *operations: q.PointsUpdateOperation) -> q.UpdateBatchPoints:
    return q.UpdateBatchPoints(collection_name=name, operations=operations, wait=True)


def test_a_batch_knows_what_it_put_before(place: Guarded, name: str) -> None:
    put = O(upsert=O.PointStructList(points=[point(0, "bob"), point(20, "cleo")]))
    change = O(set_payload=O.SetPayload(payload={"secret": text("new")}, points_selector=ids(0, 20, 1)))
    by_filter = O(set_payload=O.SetPayload(payload={"secret": text("new")}, points_selector=where(of("ada"))))
    place.client.points.UpdateBatch(batch(name, put, change))
    found = scroll(place, name)
    assert [found[number].payload["secret"].string_value for number in (0, 20, 1)] == ["new"] * 3
    assert marks(place, name, 0) == marks(place, name, 4)
    assert len(keys_at_rest(place, name)) == 3
    place.refused(lambda: place.client.points.UpdateBatch(batch(name, put, by_filter)), "INVALID_ARGUMENT", "by filter")


def nobodys(payload: dict[str, q.Value] | None = None) -> q.PointStruct:
    return q.PointStruct(id=q.PointId(num=9), vectors=vectors_of(9), payload=payload)


def without(*paths: str) -> O:
    return O(delete_payload=O.DeletePayload(keys=paths, points_selector=ids(0)))


def setting(payload: dict[str, q.Value], selector: q.PointsSelector, key: str | None = None) -> O:
    return O(set_payload=O.SetPayload(payload=payload, points_selector=selector, key=key))


NUMBER = {"who": who(q.Value(double_value=1.5))}
BOBS = {"who": who(text("bob"))}


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (O(upsert=O.PointStructList(points=[nobodys()])), "every point needs `who.tenant`"),
        (O(upsert=O.PointStructList(points=[nobodys(NUMBER)])), "one text, whole number"),
        (setting(BOBS, ids(0)), "not changed alone"),
        (setting(BOBS, where(match("city", "Ulm"))), "not changed alone"),
        (setting({"who": text("bob")}, ids(0)), "every point needs"),
        (setting({"tenant": text("bob")}, ids(0), "who"), "not changed alone"),
        (setting({"x": text("bob")}, ids(0), "who.tenant"), "must stay"),
        (
            O(overwrite_payload=O.OverwritePayload(payload={"city": text("Ulm")}, points_selector=ids(0))),
            "every point needs",
        ),
        (without("who"), "must stay"),
        (without("who.tenant"), "must stay"),
        (O(clear_payload=O.ClearPayload(points=ids(0))), "cannot be cleared"),
        (O(clear_payload_deprecated=ids(0)), "cannot be cleared"),
    ],
)
def test_a_point_is_not_taken_from_its_tenant(place: Guarded, name: str, operation: O, says: str) -> None:
    before = place.stored(name, *range(8))
    code, details = refusal(lambda: place.client.points.UpdateBatch(batch(name, operation)))
    assert (code, says in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details
    assert place.stored(name, *range(8)) == before


def test_what_is_not_there_is_not_written(place: Guarded, name: str) -> None:
    code, details = refusal(lambda: place.client.points.SetPayload(set_payload(name, {"a": text("b")}, ids(0, 99))))
    assert (code, details) == (grpc.StatusCode.NOT_FOUND, "Not found: No point with id 99 found")
    place.client.points.SetPayload(set_payload(name, {"a": text("b")}, where(match("city", "Rome"))))
    place.client.points.DeletePayload(
        q.DeletePayloadPoints(collection_name=name, keys=["secret"], points_selector=ids(0), wait=True)
    )
    found = scroll(place, name)
    assert "secret" not in found[0].payload
    assert not any("a" in held.payload for held in found.values())
    place.client.points.Delete(q.DeletePoints(collection_name=name, points=where(of("ada")), wait=True))
    assert set(scroll(place, name)) == {4, 5, 6, 7}


def test_beside_hidden_names_encrypted_ids_and_retention(place: Guarded) -> None:
    name, client = "dark-all", place.client.points
    create(place, name)
    client.SetPayload(set_payload(name, {"secret": text("by id")}, ids(0, 4)))
    client.SetPayload(set_payload(name, {"secret": text("by filter")}, where(match("city", "Bonn"), of("bob"))))
    client.UpdateVectors(
        q.UpdatePointVectors(
            collection_name=name, points=[q.PointVectors(id=q.PointId(num=3), vectors=vectors_of(33))], wait=True
        )
    )
    found = scroll(place, name)
    assert [found[n].payload["secret"].string_value for n in (0, 4, 5, 7)] == ["by id"] * 2 + ["by filter"] * 2
    assert np.allclose(found[3].vectors.vectors.vectors["d"].dense.data, row(33), atol=1e-5)
    assert search(place, name, 33, of("ada"), match("city", "Bonn"))[0] == 3
    young = q.Condition(field=q.FieldCondition(key="age", range=q.Range(lt=2)))
    assert set(scroll(place, name, young)) == {0, 1}
    code, _ = refusal(lambda: client.SetPayload(set_payload(name, BOBS, ids(0))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
