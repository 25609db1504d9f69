"""A collection's manifest that was altered behind the proxy's back: one status, one text, and nothing is forwarded."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest
from qdrant_client import grpc as q

from proxy.behind import DIMS, Guarded, unnamed
from proxy.conftest import create, payload, vectors
from vecguard.front.qdrant.metadata import CORE

Damage = Callable[[str], str]


def encoded(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decoded(text: str) -> dict[str, object]:
    body = text.split(".")[1]
    content: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return content


def flipped(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def rewritten(changes: dict[str, object]) -> Damage:
    """The text with fields of its JSON changed, and the tag kept."""

    def damage(text: str) -> str:
        prefix, _, tag = text.split(".")
        content = decoded(text)
        assert any(content.get(key) != value for key, value in changes.items())
        return f"{prefix}.{encoded({**content, **changes})}.{tag}"

    return damage


TEXT: dict[str, Damage] = {
    "nothing left": lambda text: "",
    "no tag": lambda text: text.rpartition(".")[0],
    "an empty tag": lambda text: text.rpartition(".")[0] + ".",
    "a short tag": lambda text: text[:-4],
    "an altered tag": lambda text: flipped(text, len(text) - 5),
    "an altered body": lambda text: flipped(text, text.index(".") + 20),
    "another format": lambda text: "vgm2" + text[4:],
    "a part more": lambda text: text + ".x",
    "no base64": lambda text: text[:8] + "%%" + text[10:],
    "not ASCII": lambda text: text[:8] + "é" + text[9:],
    "spaces": lambda text: text + " ",
}
CORE_FIELDS: dict[str, Damage] = {
    "format": rewritten({"format": 2}),
    "uuid": rewritten({"uuid": "00000000-0000-4000-8000-000000000000"}),
    "collection": rewritten({"collection": "box-other"}),
    "created": rewritten({"created": "2020-01-01T00:00:00Z"}),
    "epochs": rewritten({"epochs": {}}),
    "a wrapped key": rewritten({"epochs": {"1": "AQ"}}),
    "current": rewritten({"current": 2}),
    "payload modes": rewritten({"payload": {"default": "plain", "fields": {}}}),
    "an unknown field": rewritten({"more": 1}),
}
VECTOR_FIELDS: dict[str, Damage] = {
    "name": rewritten({"name": "m"}),
    "kind": rewritten({"kind": "multi"}),
    "dims": rewritten({"dims": 2 * DIMS}),
    "distance": rewritten({"distance": "dot"}),
    "transforms": rewritten({"transforms": []}),
    "recover": rewritten({"recover": "none"}),
    "half": rewritten({"half": True}),
    "an unknown field": rewritten({"more": 1}),
}


@pytest.fixture(scope="module")
def kept(place: Guarded) -> Iterator[tuple[str, dict[str, str]]]:
    """One collection for all tests of this module, and its metadata as it should be."""
    create(place, "box-manifest")
    yield "box-manifest", place.metadata("box-manifest")
    place.rest.collections.Delete(q.DeleteCollection(collection_name="box-manifest"))


@pytest.fixture
def whole(place: Guarded, kept: tuple[str, dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The same, restored after each test; it is readable before and after, so that a refusal is the damage's doing."""
    name, good = kept
    yield kept
    place.set_metadata(name, {**dict.fromkeys(set(place.metadata(name)) - set(good)), **good})
    assert place.client.points.Count(q.CountPoints(collection_name=name)).result.count == 2
    assert len(place.client.points.Scroll(q.ScrollPoints(collection_name=name)).result) == 2


def nothing_works(place: Guarded, name: str) -> None:
    """Reads, writes and descriptions of a collection all get the one text, and none is forwarded."""
    point = q.PointStruct(id=q.PointId(num=3), vectors=vectors(3), payload=payload(3))
    everything = q.PointsSelector(filter=q.Filter())
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
    for call in (
        lambda: place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point])),
        lambda: place.client.points.Delete(q.DeletePoints(collection_name=name, points=everything)),
        lambda: place.client.points.Scroll(q.ScrollPoints(collection_name=name)),
        lambda: place.client.points.Query(q.QueryPoints(collection_name=name, query=query, using="d")),
        lambda: place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=name)),
    ):
        place.unreadable(call)
        assert place.recorder.forwarded == []


@pytest.mark.parametrize("damage", [*TEXT.values(), *CORE_FIELDS.values()], ids=[*TEXT, *CORE_FIELDS])
def test_a_damaged_core(place: Guarded, whole: tuple[str, dict[str, str]], damage: Damage) -> None:
    name, good = whole
    place.set_metadata(name, {CORE: damage(good[CORE])})
    nothing_works(place, name)


@pytest.mark.parametrize("damage", [*TEXT.values(), *VECTOR_FIELDS.values()], ids=[*TEXT, *VECTOR_FIELDS])
def test_a_damaged_vector_record(place: Guarded, whole: tuple[str, dict[str, str]], damage: Damage) -> None:
    name, good = whole
    place.set_metadata(name, {f"{CORE}.vector.d": damage(good[f"{CORE}.vector.d"])})
    nothing_works(place, name)


@pytest.mark.parametrize("key", [CORE, f"{CORE}.vector.d"])
@pytest.mark.parametrize(
    "value", [q.Value(integer_value=1), q.Value(struct_value=q.Struct()), q.Value(bool_value=True)]
)
def test_a_manifest_that_is_no_text(
    place: Guarded, whole: tuple[str, dict[str, str]], key: str, value: q.Value
) -> None:
    name, _ = whole
    place.set_metadata(name, {key: value})
    nothing_works(place, name)


def test_a_core_that_is_gone_while_vector_records_are_there(place: Guarded, whole: tuple[str, dict[str, str]]) -> None:
    name, _ = whole
    place.set_metadata(name, {CORE: None})
    nothing_works(place, name)


def test_a_manifest_that_is_gone_altogether(place: Guarded, whole: tuple[str, dict[str, str]]) -> None:
    name, good = whole
    place.set_metadata(name, dict.fromkeys(good))
    read = q.ScrollPoints(collection_name=name)
    write = q.UpsertPoints(collection_name=name, points=[q.PointStruct(id=q.PointId(num=3), vectors=vectors(3))])
    place.refused(lambda: place.client.points.Scroll(read), "FAILED_PRECONDITION", "was not made through this proxy")
    place.refused(lambda: place.client.points.Upsert(write), "FAILED_PRECONDITION", "was not made through this proxy")


def test_a_vector_record_that_is_gone(place: Guarded, whole: tuple[str, dict[str, str]]) -> None:
    """The vector is then one that the proxy does not know, so nothing can be written to it or asked of it."""
    name, _ = whole
    place.set_metadata(name, {f"{CORE}.vector.d": None})
    write = q.UpsertPoints(collection_name=name, points=[q.PointStruct(id=q.PointId(num=3), vectors=vectors(3))])
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
    read = q.QueryPoints(collection_name=name, query=query, using="d")
    place.refused(lambda: place.client.points.Upsert(write), "INVALID_ARGUMENT", "Not existing vector name error: d")
    place.refused(lambda: place.client.points.Query(read), "INVALID_ARGUMENT", "Not existing vector name error: d")


def test_vector_records_swapped_between_names(place: Guarded, whole: tuple[str, dict[str, str]]) -> None:
    name, good = whole
    d, m = f"{CORE}.vector.d", f"{CORE}.vector.m"
    place.set_metadata(name, {d: good[m], m: good[d]})
    nothing_works(place, name)


@pytest.mark.parametrize("taken", [[CORE], [f"{CORE}.vector.d"], None], ids=["core", "vector record", "everything"])
def test_manifests_swapped_between_collections(
    place: Guarded, collection: str, whole: tuple[str, dict[str, str]], taken: list[str] | None
) -> None:
    """Even a whole manifest of another collection, authentic as it is, does not pass under this one's name."""
    name, good = whole
    foreign = place.metadata(collection)
    place.set_metadata(name, {key: foreign[key] for key in taken or good})
    nothing_works(place, name)


def test_a_manifest_of_a_weaker_protected_collection(place: Guarded, whole: tuple[str, dict[str, str]]) -> None:
    """The other collection's payload is plain: under its rules this one's would be written in clear."""
    name, good = whole
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    ask = q.CreateCollection(collection_name="weak-one")
    for key in ("d", "m"):
        ask.vectors_config.params_map.map[key].CopyFrom(params)
    ask.sparse_vectors_config.map["s"].SetInParent()
    place.client.collections.Create(ask)
    weak = place.metadata("weak-one")
    assert set(weak) == set(good)
    place.set_metadata(name, weak)
    nothing_works(place, name)
    place.client.collections.Delete(q.DeleteCollection(collection_name="weak-one"))


def test_an_alias_opens_its_collection(place: Guarded, collection: str) -> None:
    add = q.AliasOperations(create_alias=q.CreateAlias(collection_name=collection, alias_name="box-alias"))
    place.client.collections.UpdateAliases(q.ChangeAliases(actions=[add]))
    assert len(place.client.points.Scroll(q.ScrollPoints(collection_name="box-alias")).result) == 2
    point = q.PointStruct(id=q.PointId(num=1), vectors=vectors(1), payload=payload(1))
    place.client.points.Upsert(q.UpsertPoints(collection_name="box-alias", points=[point], wait=True))


def test_a_damaged_index_declaration(place: Guarded, collection: str) -> None:
    """What a client declared of a searchable field's index is kept with the collection, and only shown."""
    ask = q.CreateFieldIndexCollection(
        collection_name=collection, field_name="tag", field_type=q.FieldType.FieldTypeKeyword
    )
    place.client.points.CreateFieldIndex(ask)
    look = q.GetCollectionInfoRequest(collection_name=collection)
    shown = place.client.collections.Get(look).result.payload_schema["tag"]
    assert shown.data_type == q.PayloadSchemaType.Keyword
    key = next(key for key in place.metadata(collection) if key.startswith(f"{CORE}.index."))
    place.set_metadata(collection, {key: "%%%"})
    place.recorder.clear()
    place.unreadable(lambda: place.client.collections.Get(look))


@pytest.mark.parametrize("key", [CORE, f"{CORE}.vector.d", f"{CORE}.anything"])
def test_clients_cannot_write_our_metadata_keys(place: Guarded, collection: str, key: str) -> None:
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    make = q.CreateCollection(collection_name="box-reserved", vectors_config=q.VectorsConfig(params=params))
    change = q.UpdateCollection(collection_name=collection)
    for ask in (make, change):
        ask.metadata[key].string_value = "vgm1.x.y"
    text = f"`{key}` is reserved"
    place.refused(lambda: place.client.collections.Create(make), "INVALID_ARGUMENT", text)
    place.refused(lambda: place.client.collections.Update(change), "INVALID_ARGUMENT", text)


def test_clients_can_write_other_metadata_keys(place: Guarded, collection: str) -> None:
    ask = q.UpdateCollection(collection_name=collection)
    ask.metadata["_vgx"].string_value = "mine"
    place.client.collections.Update(ask)
    look = q.GetCollectionInfoRequest(collection_name=collection)
    assert dict(place.client.collections.Get(look).result.config.metadata) == {"_vgx": q.Value(string_value="mine")}
    assert "mine" not in place.metadata(collection)["_vgx"]


def test_a_whole_point_with_the_reserved_vector_name_stays_unnamed(place: Guarded) -> None:
    """A payload key like ours is the client's own: it lies under `_p` and meets nothing of the proxy's."""
    name = "box-own-keys"
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    make = q.CreateCollection(collection_name=name, vectors_config=q.VectorsConfig(params=params))
    place.client.collections.Create(make)
    mine = {"_vg": q.Value(string_value="a"), "_p": q.Value(string_value="b")}
    point = q.PointStruct(id=q.PointId(num=1), vectors=unnamed(range(1, DIMS + 1)), payload=mine)
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point], wait=True))
    ask = q.ScrollPoints(collection_name=name, with_vectors=q.WithVectorsSelector(enable=True))
    assert place.client.points.Scroll(ask).result[0].payload == mine
    place.client.collections.Delete(q.DeleteCollection(collection_name=name))
