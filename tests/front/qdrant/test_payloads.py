"""Payloads of every shape come back exactly; what a writer to the database forged does not."""

import struct

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import grpc as q
from shields import ring_of, shield_of

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.qdrant.payloads import (
    levels_of,
    point_id_bytes,
    protect_map,
    python_value,
    reveal_map,
    unwrap,
    wrap,
)
from vecguard.policy.model import PayloadRule
from vecguard.seal.ids import num_id, uuid_id

POINT, OTHER = num_id(1), num_id(2)
KEY = st.text("ab.~/\"'[]\\ \0é€_pvg$", max_size=5)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=30),
)
PAYLOADS = st.dictionaries(
    st.one_of(KEY, st.sampled_from(["open", "word", "deep", "secret", "_p", "_vg", "odd"])),
    st.recursive(
        LEAF,
        lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEY, below, max_size=3)),
        max_leaves=8,
    ),
    max_size=4,
)


def value_of(content):
    match content:
        case None:
            return q.Value(null_value=q.NullValue.NULL_VALUE)
        case bool():
            return q.Value(bool_value=content)
        case int():
            return q.Value(integer_value=content)
        case float():
            return q.Value(double_value=content)
        case str():
            return q.Value(string_value=content)
        case list():
            return q.Value(list_value=q.ListValue(values=[value_of(item) for item in content]))
    return q.Value(struct_value=q.Struct(fields={key: value_of(item) for key, item in content.items()}))


def point_of(content):
    return q.PointStruct(payload={key: value_of(item) for key, item in content.items()})


def stored(content, fields, point_id=POINT):
    """The stored payload of a client's, as `protect_points` makes it."""
    point = point_of(content)
    wrap(point.payload, fields, point_id)
    return point


def leaves(value):
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        for item in value.struct_value.fields.values():
            yield from leaves(item)
    elif kind == "list_value":
        for item in value.list_value.values:
            yield from leaves(item)
    else:
        yield value


def bits(content):
    """Content in a form that tells -0.0 from 0.0, NaNs apart, and bool from int from float."""
    match content:
        case float():
            return struct.pack(">d", content)
        case list():
            return [bits(item) for item in content]
        case dict():
            return {key: bits(item) for key, item in content.items()}
    return type(content).__name__, content


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_ids_have_canonical_bytes():
    text = "936da01f-9abd-4d9d-80c7-02af85c822a8"
    assert point_id_bytes(q.PointId(num=2**64 - 1)) == num_id(2**64 - 1)
    for spelling in (text, text.upper(), text.replace("-", ""), f"urn:uuid:{text}", f"{{{text}}}"):
        assert point_id_bytes(q.PointId(uuid=spelling)) == uuid_id(text)


def test_what_is_no_id_is_refused_in_the_words_of_qdrant():
    with pytest.raises(InvalidArgument, match="No ID options provided"):
        point_id_bytes(q.PointId())
    for text in ("", "x", "7", "936da01f-9abd"):
        with pytest.raises(InvalidArgument, match=f"Unable to parse UUID: {text}$"):
            point_id_bytes(q.PointId(uuid=text))


# -- there and back ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PAYLOADS, st.booleans())
def test_any_payload_comes_back(fields, content, bound):
    point = stored(content, fields, POINT if bound else None)
    assert list(point.payload) == ["_p"]
    point.payload["_vg"].string_value = "ours"
    point.payload["_vgn"].struct_value.fields["f_"].string_value = "ours"
    unwrap(point.payload, fields, POINT)
    back = {key: python_value(item) for key, item in point.payload.items()}
    assert bits(back) == bits(content)
    assert point == point_of(content) or "nan" in repr(content)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PAYLOADS)
def test_shape_and_keys_stay_and_leaves_do_not(fields, content):
    point = stored(content, fields)

    def compare(clear, kept, keys):
        if isinstance(clear, dict):
            assert set(kept.struct_value.fields) == set(clear)
            for key, item in clear.items():
                compare(item, kept.struct_value.fields[key], (*keys, key))
        elif isinstance(clear, list):
            assert len(kept.list_value.values) == len(clear)
            for item, value in zip(clear, kept.list_value.values, strict=True):
                compare(item, value, keys)
        elif clear is None:
            assert kept.HasField("null_value")
        elif fields.mode(keys) == "plain":
            assert bits(python_value(kept)) == bits(clear)
        else:
            assert kept.string_value.startswith("vg:")

    compare(content, point.payload["_p"], ())


def test_nothing_of_a_sealed_payload_is_readable():
    secrets = {"name": "Ada Lovelace", "tags": ["diagnosis", {"x": "C50.9"}], "n": 12345678901, "f": 2.718281828}
    data = stored(secrets, shield_of(payload=PayloadRule()).fields).SerializeToString()
    for secret in (b"Lovelace", b"diagnosis", b"C50.9", b"12345678901", struct.pack("<d", 2.718281828)):
        assert secret not in data
    assert (
        b"Ada Lovelace" in stored(secrets, shield_of(payload=PayloadRule(default="plain")).fields).SerializeToString()
    )


def test_list_items_share_the_path_of_their_list(fields):
    point = stored({"word": ["a", "a", ["a"]], "secret": ["a", "a"]}, fields)
    words = [leaf.string_value for leaf in leaves(point.payload["_p"].struct_value.fields["word"])]
    assert len(words) == 3
    assert set(words) == {fields.protect(("word",), "a", POINT)}
    assert len({leaf.string_value for leaf in leaves(point.payload["_p"].struct_value.fields["secret"])}) == 2


def test_a_value_without_kind_stays_one(fields):
    point = q.PointStruct(payload={"secret": q.Value()})
    wrap(point.payload, fields, POINT)
    unwrap(point.payload, fields, POINT)
    assert point == q.PointStruct(payload={"secret": q.Value()})
    assert python_value(point.payload["secret"]) is None


def test_what_a_value_holds_besides_its_kind_goes_nowhere(fields):
    unknown = b"\x7a\x06unseen"  # field 15, which `Value` has not
    for kind in (b"", q.Value(string_value="v").SerializeToString(), value_of({"k": "v"}).SerializeToString()):
        point = q.PointStruct()
        point.payload["open"].MergeFromString(kind + unknown)
        point.payload["secret"].MergeFromString(kind + unknown)
        assert b"unseen" in point.SerializeToString()
        wrap(point.payload, fields, POINT)
        assert b"unseen" not in point.SerializeToString()
        point.payload["_p"].struct_value.fields["open"].MergeFromString(unknown)
        unwrap(point.payload, fields, POINT)
        assert b"unseen" not in point.SerializeToString()
        assert set(point.payload) == {"open", "secret"}


def test_the_place_of_a_partial_payload_decides_its_modes(fields):
    payload = point_of({"open": "o", "x": "w"}).payload
    protect_map(payload, ("deep",), fields, POINT)
    assert payload["open"].string_value == "o"
    assert payload["x"].string_value == fields.protect(("deep", "x"), "w", POINT)
    reveal_map(payload, ("deep",), fields, POINT)
    assert {key: python_value(item) for key, item in payload.items()} == {"open": "o", "x": "w"}


# -- what is not the client's ------------------------------------------------------------------------------------------


def test_a_point_without_payload_has_none(fields):
    ours = {"_vg": value_of("ours"), "_vgn": value_of({"f_": "ours"})}
    for payload in ({}, ours, {"stray": value_of("left by another writer")}):
        point = q.RetrievedPoint(payload=payload)
        unwrap(point.payload, fields, POINT)
        assert not point.payload


@pytest.mark.parametrize("foreign", [None, True, 7, 1.5, "text", [], [{"a": 1}]])
def test_a_stored_payload_of_another_shape_is_unreadable(fields, foreign):
    point = q.RetrievedPoint(payload={"_p": value_of(foreign)})
    with pytest.raises(Unreadable):
        unwrap(point.payload, fields, POINT)


@pytest.mark.parametrize("forged", [True, 7, 1.5, "text", ["text"], {"a": "text"}, "vg:AAAA"])
@pytest.mark.parametrize("key", ["secret", "word"])
def test_forged_values_are_unreadable(fields, key, forged):
    point = q.RetrievedPoint(payload={"_p": value_of({key: forged})})
    with pytest.raises(Unreadable):
        unwrap(point.payload, fields, POINT)


def test_values_do_not_open_elsewhere(fields):
    point = stored({"secret": "s", "private": {"a": "t"}, "word": "w"}, fields)
    unwrap(stored({"secret": "s"}, fields).payload, fields, POINT)
    for forge in (
        lambda kept: kept["private"].CopyFrom(kept["secret"]),
        lambda kept: kept["secret"].CopyFrom(kept["private"].struct_value.fields["a"]),
        lambda kept: kept["secret"].CopyFrom(kept["word"]),
        lambda kept: kept["word"].CopyFrom(kept["secret"]),
    ):
        forged = q.PointStruct()
        forged.CopyFrom(point)
        forge(forged.payload["_p"].struct_value.fields)
        with pytest.raises(Unreadable):
            unwrap(forged.payload, fields, POINT)
    for at, key in ((fields, OTHER), (shield_of(ring=ring_of(7)).fields, POINT)):
        moved = q.PointStruct()
        moved.CopyFrom(point)
        with pytest.raises(Unreadable):
            unwrap(moved.payload, at, key)


# -- depth -------------------------------------------------------------------------------------------------------------


def wire_value(maps, lists, innermost):
    """Bytes of a `Value` that many maps and lists above `innermost`; written by hand, as Python cannot build it."""

    def field(number, data):
        size, header = len(data), bytearray()
        while size > 0x7F:
            header.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2, *header, size]) + data

    data = innermost.SerializeToString()
    for _ in range(lists):
        data = field(7, field(1, data))
    for _ in range(maps):
        data = field(6, field(1, field(1, b"k") + field(2, data)))
    return data


def deep_point(maps, lists, innermost):
    point = q.PointStruct()
    point.payload["k"].MergeFromString(wire_value(maps, lists, innermost))
    return point


INNERMOST = [value_of("leaf"), q.Value(struct_value=q.Struct()), q.Value(list_value=q.ListValue())]


@pytest.mark.parametrize("innermost", INNERMOST, ids=["leaf", "map", "list"])
@pytest.mark.parametrize("lists", [0, 1, 2, 20, 44])
def test_whatever_depth_is_accepted_can_be_read_in_every_answer(fields, innermost, lists):
    accepted, depth = None, 0
    while True:
        try:
            point = deep_point(depth, lists, innermost)
        except DecodeError:
            pytest.fail("the decoder gave up before we did")
        try:
            wrap(point.payload, fields, POINT)
        except InvalidArgument:
            break
        accepted, depth = point.payload["_p"].SerializeToString(), depth + 1
    assert accepted is not None
    assert 3 * depth + 2 * lists > 85
    # The deepest place of a payload in an answer: QueryGroupsResponse.result.groups.lookup.payload.
    answer = q.QueryGroupsResponse()
    group = q.PointGroup()
    group.lookup.payload["_p"].MergeFromString(accepted)
    body = group.SerializeToString()
    answer.result.groups.add().MergeFromString(body)
    read = q.QueryGroupsResponse.FromString(answer.SerializeToString())
    unwrap(read.result.groups[0].lookup.payload, fields, POINT)
    assert list(read.result.groups[0].lookup.payload) == ["k"]


def test_a_deep_place_counts_as_well(fields):
    path = ".".join("k" * 28)
    assert levels_of(path) == 84
    assert levels_of("a[0].b[]") == 10
    protect_map(point_of({"k": {"k": "v"}}).payload, (), fields, POINT, levels_of(path))
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        protect_map(point_of({"k": {"k": {"k": {"k": "v"}}}}).payload, (), fields, POINT, levels_of(path))
