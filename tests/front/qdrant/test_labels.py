"""Labels beside payload fields: where they lie, what conditions ask of them, and what is refused."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as q
from shields import IDENTITY, ring_of

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields
from vecguard.front.qdrant import filters, labels
from vecguard.front.qdrant.payloads import unwrap, wrap
from vecguard.policy.model import PayloadRule
from vecguard.seal.dyadic import Order, numbers, wholes
from vecguard.seal.fields import FieldSealer
from vecguard.seal.ids import num_id

RULE = PayloadRule(fields={"price": "range", "items.price": "range", '"odd key"': "range", "word": "searchable"})
PATHS = {
    "price": "_vgl_price[]",
    "price[]": "_vgl_price[][]",
    "price[0]": "_vgl_price[0][]",
    "items[].price": "items[]._vgl_price[]",
    '"odd key"': '"_vgl_odd key"[]',
}


@pytest.fixture(scope="module")
def fields() -> Fields:
    return Fields(RULE, FieldSealer(ring_of(1, 2), IDENTITY.bytes), lambda path: f"rule of {path}")


def values(message: q.Value) -> object:
    kind = message.WhichOneof("kind")
    if kind == "list_value":
        return [values(item) for item in message.list_value.values]
    return getattr(message, kind or "null_value")


def stored(fields: Fields, **payload: q.Value) -> dict[str, q.Value]:
    point = q.PointStruct(payload=payload)
    wrap(point.payload, fields, num_id(1))
    return dict(point.payload["_p"].struct_value.fields)


def number(value: int) -> q.Value:
    return q.Value(integer_value=value)


def listed(*items: q.Value) -> q.Value:
    return q.Value(list_value=q.ListValue(values=items))


@pytest.mark.parametrize(("path", "beside"), PATHS.items())
def test_paths_and_back(path: str, beside: str) -> None:
    assert labels.label_path(path) == beside
    assert labels.client_field(beside) == path


@pytest.mark.parametrize("path", ["price", "_vgl_price", "_vgl_a.b[]", "tags[]"])
def test_other_paths_are_no_labels(path: str) -> None:
    assert labels.client_field(path) == path


def test_labels_keep_the_shape_of_the_value(fields: Fields) -> None:
    five, nine = (fields.range_labels(("price",)).of(value) for value in (5, 9))
    assert values(stored(fields, price=number(5))["_vgl_price"]) == five
    nested = listed(number(5), listed(number(9), q.Value(null_value=q.NullValue.NULL_VALUE)))
    assert values(stored(fields, price=nested)["_vgl_price"]) == [five, [nine, []]]
    row = q.Value(struct_value=q.Struct(fields={"price": number(9)}))
    found = stored(fields, items=listed(row), price=row, word=number(5))
    assert values(found["_vgl_price"]) == []
    assert "_vgl_word" not in found
    assert "_vgl_items" not in found
    within = found["items"].list_value.values[0].struct_value.fields
    assert values(within["_vgl_price"]) == fields.range_labels(("items", "price")).of(9)


def test_labels_are_not_shown(fields: Fields) -> None:
    point = q.PointStruct(payload={"price": number(5), "items": listed(number(1))})
    before = {key: values(point.payload[key]) for key in point.payload}
    wrap(point.payload, fields, num_id(1))
    unwrap(point.payload, fields, num_id(1))
    assert {key: values(point.payload[key]) for key in point.payload} == before


def test_a_clients_key_cannot_be_a_labels(fields: Fields) -> None:
    with pytest.raises(InvalidArgument, match="`_vgl_price` is reserved"):
        stored(fields, _vgl_price=number(5))
    unlabelled = Fields(PayloadRule(), FieldSealer(ring_of(1), IDENTITY.bytes), str)
    assert "_vgl_price" in stored(unlabelled, _vgl_price=number(5))


@pytest.mark.parametrize(
    ("asked", "interval"),
    [
        (q.Range(), numbers()),
        (q.Range(gt=1, lte=2), numbers(low=1, high=2, above=True)),
        (q.Range(gte=1, lt=2), numbers(low=1, high=2, below=True)),
        (q.Range(gt=1, gte=2, lt=9, lte=8), numbers(low=2, high=8)),
        (q.Range(gt=3, lt=1), numbers(low=3, high=1, above=True, below=True)),
    ],
)
def test_ranges(asked: q.Range, interval: object) -> None:
    assert labels.number_interval(asked) == interval


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        (q.DatetimeRange(), -(2**63), 2**63 - 1),
        (q.DatetimeRange(gt=Timestamp(seconds=1), lt=Timestamp(seconds=2)), 1_000_001, 1_999_999),
        (q.DatetimeRange(gte=Timestamp(seconds=1), lte=Timestamp(seconds=2)), 1_000_000, 2_000_000),
        # Between two microseconds.
        (q.DatetimeRange(gt=Timestamp(nanos=1_500), lt=Timestamp(nanos=3_500)), 2, 3),
        (q.DatetimeRange(gte=Timestamp(nanos=1_500), lte=Timestamp(nanos=3_500)), 2, 3),
        (q.DatetimeRange(gte=Timestamp(seconds=-1, nanos=1)), -999_999, 2**63 - 1),
    ],
)
def test_date_ranges(asked: q.DatetimeRange, low: int, high: int) -> None:
    assert labels.time_interval(asked) == wholes(Order.TIME, low, high)


def one(fields: Fields, key: str, **parts: object) -> q.FieldCondition:
    message = q.Filter(must=[q.Condition(field=q.FieldCondition(key=key, **parts))])  # type: ignore[arg-type]
    filters.rewrite(message, fields)
    return message.must[0].field


def test_conditions_become_matches_of_labels_under_every_epoch(fields: Fields) -> None:
    found = one(fields, "items[].price", range=q.Range(gte=5))
    assert found.key == "_p.items[]._vgl_price[]"
    assert list(found.match.keywords.strings) == fields.labels_within(("items", "price"), numbers(low=5))
    found = one(fields, "price", match=q.Match(integers=q.RepeatedIntegers(integers=[5, 9])))
    assert list(found.match.keywords.strings) == [
        label for value in (5, 9) for label in fields.equal_labels(("price",), value)
    ]
    assert len(found.match.keywords.strings) == 4


@pytest.mark.parametrize("parts", [{"is_empty": True}, {"is_null": True}, {"values_count": q.ValuesCount(gt=1)}])
def test_what_asks_of_the_shape_looks_at_the_value(fields: Fields, parts: dict[str, object]) -> None:
    assert one(fields, "price", **parts).key == "_p.price"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"match": q.Match(except_integers=q.RepeatedIntegers(integers=[1]))}, "a match of all others"),
        ({"match": q.Match(except_keywords=q.RepeatedStrings(strings=["a"]))}, "a match of all others"),
        ({"match": q.Match(text="a")}, "such a match cannot be answered on field `price`: its mode is range"),
        ({"match": q.Match()}, "its mode is range"),
        ({"geo_radius": q.GeoRadius(radius=1)}, "a geo filter cannot be answered on field `price`: its mode is range"),
        ({"range": q.Range(gt=1), "values_count": q.ValuesCount(gt=1)}, "asks several things"),
        ({"range": q.Range(gt=1), "match": q.Match(integer=1)}, "asks several things"),
    ],
)
def test_what_labels_cannot_answer_is_refused(fields: Fields, parts: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        one(fields, "price", **parts)


def test_a_labelled_field_is_written_and_deleted_whole(fields: Fields) -> None:
    assert fields.labels_at is not None
    for path in ("items[0]", "items", "other.price"):
        labels.require_whole(path, fields.labels_at)
    for path in ("price", "price[0]", "items[].price.below"):
        with pytest.raises(InvalidArgument, match="it can only be set whole"):
            labels.require_whole(path, fields.labels_at)
    assert labels.deleted_with("items[].price", fields.labels_at) == ["items[]._vgl_price"]
    assert labels.deleted_with("items", fields.labels_at) == []
    with pytest.raises(InvalidArgument, match="it can only be deleted whole"):
        labels.deleted_with("price[0]", fields.labels_at)
