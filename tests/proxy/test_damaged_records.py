"""Points that were altered behind the proxy's back: never served as good, one status and one text for every cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from qdrant_client import grpc as q

from proxy.behind import DIMS, Guarded, refusal
from proxy.conftest import vectors as clear_vectors
from vecguard.front.qdrant import vectors as wire
from vecguard.seal import base64url

Payload = dict[str, q.Value]
Vectors = dict[str, q.Vector]
Record = tuple[Payload, Vectors]
Damage = Callable[[Record, Record], Record]
"""From the records of points 1 and 2, what shall lie at point 1."""

NAMES = ("d", "m", "s")


def record(place: Guarded, collection: str, number: int) -> Record:
    point = place.stored(collection, number)[0]
    held: Vectors = {}
    for name, output in point.vectors.vectors.vectors.items():
        held[name] = q.Vector()
        wire._fill_oneof(held[name], wire.read(output))
    return dict(point.payload), held


def put(place: Guarded, collection: str, number: int, given: Record) -> None:
    payload, held = given
    place.put(collection, number, payload, q.Vectors(vectors=q.NamedVectors(vectors=held)))


def read_vectors(place: Guarded, collection: str, number: int, name: str) -> Callable[[], object]:
    ask = q.GetPoints(collection_name=collection, ids=[q.PointId(num=number)])
    ask.with_vectors.include.names.append(name)
    ask.with_payload.enable = False
    return lambda: place.client.points.Get(ask)


def read_payload(place: Guarded, collection: str, number: int) -> Callable[[], object]:
    ask = q.GetPoints(collection_name=collection, ids=[q.PointId(num=number)])
    ask.with_payload.enable = True
    return lambda: place.client.points.Get(ask)


def search(place: Guarded, collection: str) -> Callable[[], q.QueryResponse]:
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
    ask = q.QueryPoints(collection_name=collection, query=query, using="d")
    return lambda: place.client.points.Query(ask)


def entries(payload: Payload) -> dict[str, str]:
    """The digits of the record's entries, by vector name."""
    _, _, _, *pairs = payload["_vg"].string_value.split(".")
    return {base64url.decode(pairs[i]).decode(): pairs[i + 1] for i in range(0, len(pairs), 2)}


def with_entries(one: Record, digits: dict[str, str]) -> Record:
    """The record with other entries, whatever their digits say."""
    head = one[0]["_vg"].string_value.split(".")[:3]
    pairs = (part for name, text in digits.items() for part in (base64url.encode(name.encode()), text))
    one[0]["_vg"].string_value = ".".join([*head, *pairs])
    return one


def altered_vector(name: str) -> Damage:
    def damage(one: Record, two: Record) -> Record:
        vector = wire.read(one[1][name])
        if isinstance(vector, wire.Sparse):
            values = vector.values.copy()
            values[0] += 0.001
            wire._fill_oneof(one[1][name], wire.Sparse(vector.indices, values))
        else:
            data = (vector.data if isinstance(vector, wire.Dense) else vector.rows).copy()
            data[..., 0] += 0.2 * np.linalg.norm(data)
            wire._fill_oneof(one[1][name], wire.Dense(data) if data.ndim == 1 else wire.Multi(data))
        return one

    return damage


def moved_index(one: Record, two: Record) -> Record:
    vector = wire.read(one[1]["s"])
    assert isinstance(vector, wire.Sparse)
    wire._fill_oneof(one[1]["s"], wire.Sparse(vector.indices ^ np.uint32(1), vector.values))
    return one


def row_dropped(one: Record, two: Record) -> Record:
    vector = wire.read(one[1]["m"])
    assert isinstance(vector, wire.Multi)
    wire._fill_oneof(one[1]["m"], wire.Multi(vector.rows[:1]))
    return one


def swapped_vector(name: str) -> Damage:
    return lambda one, two: (one[0], {**one[1], name: two[1][name]})


def swapped_record(name: str) -> Damage:
    """The other point's vector together with its entry."""

    def damage(one: Record, two: Record) -> Record:
        with_entries(one, {**entries(one[0]), name: entries(two[0])[name]})
        return one[0], {**one[1], name: two[1][name]}

    return damage


def changed_entry(name: str, change: Callable[[str], str]) -> Damage:
    def damage(one: Record, two: Record) -> Record:
        digits = entries(one[0])
        changed = change(digits[name])
        assert changed != digits[name]
        return with_entries(one, {**digits, name: changed})

    return damage


def no_record(one: Record, two: Record) -> Record:
    return {key: value for key, value in one[0].items() if key != "_vg"}, one[1]


def empty_record(one: Record, two: Record) -> Record:
    one[0]["_vg"].string_value = ""
    return one


def record_of_another_type(one: Record, two: Record) -> Record:
    fields = {"m": q.Value(string_value=one[0]["_vg"].string_value.split(".")[1])}
    one[0]["_vg"].struct_value.CopyFrom(q.Struct(fields=fields))
    return one


def record_of_another_manifest(one: Record, two: Record) -> Record:
    parts = one[0]["_vg"].string_value.split(".")
    one[0]["_vg"].string_value = ".".join([parts[0], "0123456789abcdef", *parts[2:]])
    return one


def record_of_another_format(one: Record, two: Record) -> Record:
    one[0]["_vg"].string_value = one[0]["_vg"].string_value.replace("vgr1.", "vgr2.", 1)
    return one


def record_with_a_token(one: Record, two: Record) -> Record:
    one[0]["_vg"].string_value = one[0]["_vg"].string_value.replace("..", ".AAAA.", 1)
    return one


def record_with_a_name_twice(one: Record, two: Record) -> Record:
    one[0]["_vg"].string_value += "." + ".".join(one[0]["_vg"].string_value.split(".")[-2:])
    return one


def no_entry(name: str) -> Damage:
    def damage(one: Record, two: Record) -> Record:
        return with_entries(one, {other: text for other, text in entries(one[0]).items() if other != name})

    return damage


def swapped_names(one: Record, two: Record) -> Record:
    digits = entries(one[0])
    return with_entries(one, {**digits, "d": digits["m"], "m": digits["d"]})


def flipped(text: str, at: int = -9) -> str:
    at %= len(text)
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


VECTOR_DAMAGE: dict[str, tuple[str, Damage]] = {
    **{f"vector {name} altered": (name, altered_vector(name)) for name in NAMES},
    **{f"vector {name} swapped between points": (name, swapped_vector(name)) for name in NAMES},
    **{f"vector {name} swapped with its entry": (name, swapped_record(name)) for name in NAMES},
    **{f"entry of {name} altered": (name, changed_entry(name, flipped)) for name in NAMES},
    **{f"entry of {name} truncated": (name, changed_entry(name, lambda text: text[:-8])) for name in NAMES},
    **{f"entry of {name} empty": (name, changed_entry(name, lambda text: "")) for name in NAMES},
    **{f"entry of {name} gone": (name, no_entry(name)) for name in NAMES},
    **{f"record gone, {name} asked": (name, no_record) for name in NAMES},
    "an index moved": ("s", moved_index),
    "a row dropped": ("m", row_dropped),
    "entry is no base64": ("d", changed_entry("d", lambda text: "%%%" + text[3:])),
    "entry's head altered": ("d", changed_entry("d", lambda text: flipped(text, 0))),
    "entries swapped between names": ("d", swapped_names),
    "record empty": ("d", empty_record),
    "record of another type": ("d", record_of_another_type),
    "record of another manifest": ("d", record_of_another_manifest),
    "record of another format": ("d", record_of_another_format),
    "record with a token": ("d", record_with_a_token),
    "record with a name twice": ("d", record_with_a_name_twice),
}


@pytest.mark.parametrize("case", VECTOR_DAMAGE)
def test_a_damaged_vector(place: Guarded, collection: str, case: str) -> None:
    name, damage = VECTOR_DAMAGE[case]
    reading = read_vectors(place, collection, 1, name)
    reading()
    put(place, collection, 1, damage(record(place, collection, 1), record(place, collection, 2)))
    place.unreadable(reading)
    if name == "d":  # its candidates are opened for their exact scores
        place.unreadable(search(place, collection))
    read_vectors(place, collection, 2, name)()


def test_an_untouched_copy_stays_readable(place: Guarded, collection: str) -> None:
    """What these tests do to a point is not what makes it unreadable."""
    put(place, collection, 1, record(place, collection, 1))
    for name in NAMES:
        read_vectors(place, collection, 1, name)()
    read_payload(place, collection, 1)()
    search(place, collection)()


def test_a_vector_of_another_shape(place: Guarded, collection: str) -> None:
    """A multivector of no rows, and a dense vector where a multivector is expected, are refused by the engine itself;
    what it lets through, a multivector with more rows, is found."""
    payload, held = record(place, collection, 1)
    vector = wire.read(held["m"])
    assert isinstance(vector, wire.Multi)
    wire._fill_oneof(held["m"], wire.Multi(np.concatenate([vector.rows, vector.rows])))
    put(place, collection, 1, (payload, held))
    place.unreadable(read_vectors(place, collection, 1, "m"))


def at(payload: Payload, *keys: str) -> q.Value:
    """A stored payload value; the first key is the client's."""
    value = payload["_p"]
    for key in keys:
        value = value.struct_value.fields[key]
    return value


def leaf(change: Callable[[str], str], *keys: str) -> Damage:
    def damage(one: Record, two: Record) -> Record:
        value = at(one[0], *keys)
        before = value.string_value
        value.string_value = change(before)
        assert before
        assert value.string_value != before
        return one

    return damage


def taken(source: tuple[str, ...], target: tuple[str, ...], *, other: bool) -> Damage:
    """The value of a field put in a field, of the other point or the same."""

    def damage(one: Record, two: Record) -> Record:
        at(one[0], *target).CopyFrom(at((two if other else one)[0], *source))
        return one

    return damage


def replaced(value: q.Value, *keys: str) -> Damage:
    def damage(one: Record, two: Record) -> Record:
        at(one[0], *keys).CopyFrom(value)
        return one

    return damage


def whole_payload(one: Record, two: Record) -> Record:
    one[0]["_p"].CopyFrom(two[0]["_p"])
    return one


def no_map(one: Record, two: Record) -> Record:
    one[0]["_p"].string_value = "text"
    return one


PAYLOAD_DAMAGE: dict[str, Damage] = {
    "sealed text altered": leaf(flipped, "note"),
    "sealed text's head altered": leaf(lambda text: flipped(text, 4), "note"),
    "sealed text's epoch altered": leaf(lambda text: flipped(text, 11), "note"),
    "sealed text truncated": leaf(lambda text: text[:-4], "note"),
    "sealed text longer": leaf(lambda text: text + "AAAA", "note"),
    "sealed text without its mark": leaf(lambda text: text.removeprefix("vg:"), "note"),
    "sealed text empty": leaf(lambda text: "", "note"),
    "sealed text in clear": leaf(lambda text: "number 1", "note"),
    "sealed number in clear": replaced(q.Value(integer_value=1), "n"),
    "sealed field as a boolean": replaced(q.Value(bool_value=True), "note"),
    "inner sealed text altered": leaf(flipped, "meta", "shut"),
    "sealed text swapped between points": taken(("note",), ("note",), other=True),
    "sealed text swapped between fields": taken(("shut",), ("note",), other=False),
    "sealed text swapped between levels": taken(("shut",), ("meta", "shut"), other=False),
    "sealed text in a list": replaced(q.Value(list_value=q.ListValue(values=[q.Value(string_value="x")])), "note"),
    "token altered": leaf(flipped, "tag"),
    "token truncated": leaf(lambda text: text[:-4], "tag"),
    "token in clear": leaf(lambda text: "number 1", "tag"),
    "token swapped between fields": taken(("tag",), ("meta", "tag"), other=False),
    "token where sealed text belongs": taken(("tag",), ("note",), other=False),
    "sealed text where a token belongs": taken(("note",), ("tag",), other=False),
    "payload of another point": whole_payload,
    "payload that is no map": no_map,
}


@pytest.mark.parametrize("case", PAYLOAD_DAMAGE)
def test_a_damaged_payload(place: Guarded, collection: str, case: str) -> None:
    read_payload(place, collection, 1)()
    damaged = PAYLOAD_DAMAGE[case](record(place, collection, 1), record(place, collection, 2))
    put(place, collection, 1, damaged)
    place.unreadable(read_payload(place, collection, 1))
    scroll = q.ScrollPoints(collection_name=collection)
    place.unreadable(lambda: place.client.points.Scroll(scroll))
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
    found = q.QueryPoints(collection_name=collection, query=query, using="d")
    found.with_payload.enable = True
    place.unreadable(lambda: place.client.points.Query(found))
    read_payload(place, collection, 2)()


def test_a_damaged_token_in_a_facet(place: Guarded, collection: str) -> None:
    index = q.CreateFieldIndexCollection(
        collection_name=collection, field_name="tag", field_type=q.FieldType.FieldTypeKeyword, wait=True
    )
    place.client.points.CreateFieldIndex(index)
    ask = q.FacetCounts(collection_name=collection, key="tag")
    assert {hit.value.string_value for hit in place.client.points.Facet(ask).hits} == {"number 1", "number 2"}
    put(place, collection, 1, leaf(flipped, "tag")(record(place, collection, 1), record(place, collection, 2)))
    place.unreadable(lambda: place.client.points.Facet(ask))


def test_a_plain_field_is_nobodys_word(place: Guarded, collection: str) -> None:
    """Plain means plain: it is not authenticated either, and the documentation says so."""
    put(
        place,
        collection,
        1,
        leaf(lambda text: "other", "open")(record(place, collection, 1), record(place, collection, 2)),
    )
    ask = q.GetPoints(collection_name=collection, ids=[q.PointId(num=1)])
    ask.with_payload.enable = True
    assert place.client.points.Get(ask).result[0].payload["open"].string_value == "other"


@pytest.fixture
def alone(place: Guarded) -> Iterator[Callable[[str], str]]:
    """Makes a collection with the single dense vector `d` and points 1 and 2."""
    made: list[str] = []

    def make(name: str) -> str:
        ask = q.CreateCollection(collection_name=name)
        ask.vectors_config.params_map.map["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
        place.client.collections.Create(ask)
        made.append(name)
        points = []
        for i in (1, 2):
            only = q.NamedVectors(vectors={"d": clear_vectors(i).vectors.vectors["d"]})
            points.append(q.PointStruct(id=q.PointId(num=i), vectors=q.Vectors(vectors=only)))
        place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
        return name

    yield make
    for name in made:
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))


@pytest.mark.parametrize("damage", [altered_vector("d"), lambda one, two: two], ids=["altered", "moved"])
def test_a_sealed_exact_vector_is_bound_to_its_point_and_vector(
    place: Guarded, alone: Callable[[str], str], damage: Damage
) -> None:
    name = alone("kept-sealed")
    reading = read_vectors(place, name, 1, "d")
    reading()
    put(place, name, 1, damage(record(place, name, 1), record(place, name, 2)))
    place.unreadable(reading)
    place.unreadable(search(place, name))


def test_a_vector_that_nobody_recovers_is_searched_and_not_returned(
    place: Guarded, alone: Callable[[str], str]
) -> None:
    name = alone("lost-none")
    reading = read_vectors(place, name, 1, "d")
    assert len(search(place, name)().result) == 2
    code, text = refusal(reading)
    assert code.name == "INVALID_ARGUMENT"
    assert "`recover: none`" in text
