"""Declared collections: what is stored for each type and mode, and what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from shields import IDENTITY, ring_of

from front.milvus.schemas import KEY, POLICY, VECTOR, field_of, policy_with, schema_of
from vecguard.errors import FailedPrecondition, InvalidArgument, UnknownField
from vecguard.front.milvus.layout import stored_length
from vecguard.front.milvus.proto import DATA_TYPES, TYPE_NAMES, c, s
from vecguard.front.milvus.schema import added_field, declare, parse_field, parse_schema
from vecguard.policy.model import PayloadRule, VectorRule
from vecguard.seal.fields import FieldSealer


def stored_of(*fields: s.FieldSchema, **options: Any) -> dict[str, s.FieldSchema]:
    return {field.name: field for field in declare(schema_of(*fields, **options), POLICY).stored.fields}


def params_of(field: s.FieldSchema) -> dict[str, str]:
    return {pair.key: pair.value for pair in field.type_params}


def test_a_vector_has_its_record_beside_it() -> None:
    stored = stored_of(field_of("text", "VarChar", {"max_length": 10}))
    assert list(stored) == ["id", "text", "v", "_vg_v"]
    assert stored["_vg_v"].data_type == DATA_TYPES["VarChar"]
    assert params_of(stored["_vg_v"]) == {"max_length": "65535"}
    assert params_of(stored["v"]) == {"dim": "8"}


def test_automatic_keys_have_a_token() -> None:
    assert list(stored_of(auto_id=True)) == ["id", "v", "_vg_v", "_vg"]


@pytest.mark.parametrize("kind", ["Float16Vector", "BFloat16Vector"])
def test_half_precision_is_stored_as_float32(kind: str) -> None:
    stored = stored_of(field_of("v", kind, {"dim": 8}))
    assert stored["v"].data_type == DATA_TYPES["FloatVector"]


def test_records_say_euclid_whatever_the_index_will_be() -> None:
    sparse = field_of("words", "SparseFloatVector")
    records = {record.name: record for record in declare(schema_of(VECTOR, sparse), POLICY).vectors}
    assert (records["v"].kind, records["v"].distance, records["v"].dims) == ("dense", "euclid", 8)
    assert (records["words"].kind, records["words"].dims) == ("sparse", 0)


@pytest.mark.parametrize("kind", ["Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar"])
@pytest.mark.parametrize(("name", "mode"), [("open", "plain"), ("word", "searchable"), ("other", "sealed")])
def test_scalars_by_mode(kind: str, name: str, mode: str) -> None:
    params = {"max_length": 100} if kind == "VarChar" else {}
    field = field_of(name, kind, params, description="secret")
    stored = stored_of(field)[name]
    assert stored.description == ""
    if mode == "plain":
        assert (stored.data_type, params_of(stored)) == (DATA_TYPES[kind], {k: str(v) for k, v in params.items()})
    else:
        assert stored.data_type == DATA_TYPES["VarChar"]
        assert list(params_of(stored)) == ["max_length"]


@pytest.mark.parametrize("length", [1, 7, 12, 100, 1000, 47_000])
def test_the_stored_length_holds_every_value(length: int) -> None:
    sealer = FieldSealer(ring_of(1), IDENTITY.bytes)
    for size in {0, length // 2, length}:
        assert len(sealer.seal("/a", "x" * size, b"id")) <= stored_length("sealed", DATA_TYPES["VarChar"], length)
        assert len(sealer.token("/a", "x" * size)) <= stored_length("searchable", DATA_TYPES["VarChar"], length)
    assert len(sealer.seal("/a", "x" * length, b"id")) == stored_length("sealed", DATA_TYPES["VarChar"], length)


@pytest.mark.parametrize("value", [True, -(2**63), 1.5])
def test_the_stored_length_of_numbers(value: float) -> None:
    sealer = FieldSealer(ring_of(1), IDENTITY.bytes)
    assert len(sealer.seal("/a", value, b"id")) == stored_length("sealed", DATA_TYPES["Int64"], 0)
    assert len(sealer.token("/a", value)) == stored_length("searchable", DATA_TYPES["Int64"], 0)


def test_arrays_are_stored_element_by_element() -> None:
    stored = stored_of(field_of("other", "Array", {"max_capacity": 7}, element="Int32"))["other"]
    assert (stored.data_type, stored.element_type) == (DATA_TYPES["Array"], DATA_TYPES["VarChar"])
    assert params_of(stored)["max_capacity"] == "7"


def test_defaults_of_encrypted_fields_stay_with_the_proxy() -> None:
    sealed = field_of("other", "VarChar", {"max_length": 9}, default_value=s.ValueField(string_data="secret"))
    plain = field_of("open", "VarChar", {"max_length": 9}, default_value=s.ValueField(string_data="known"))
    json = field_of("meta", "JSON", default_value=s.ValueField(bytes_data=b'{"a":1}'))
    declaration = declare(schema_of(sealed, plain, json), POLICY)
    stored = {field.name: field for field in declaration.stored.fields}
    assert not stored["other"].HasField("default_value")
    assert not stored["meta"].HasField("default_value")
    assert stored["open"].default_value.string_data == "known"
    assert declaration.layout.columns["other"].default == "secret"
    assert b"secret" not in declaration.stored.SerializeToString()


def test_nothing_said_about_the_collection_is_stored_in_clear() -> None:
    schema = schema_of(field_of("other", "Int64", description="salary"))
    schema.description = "payroll"
    content = declare(schema, POLICY).stored.SerializeToString()
    assert b"salary" not in content
    assert b"payroll" not in content


@pytest.mark.parametrize("kind", ["BinaryVector", "Int8Vector", "ArrayOfVector"])
def test_vectors_that_hold_no_noise_are_refused(kind: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{kind} cannot hold a rotated vector"):
        declare(schema_of(field_of("v", kind, {"dim": 8})), POLICY)


@pytest.mark.parametrize("kind", ["Geometry", "Timestamptz", "Text"])
def test_types_that_cannot_be_encrypted_need_mode_plain(kind: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"field other.*{kind}, which cannot be encrypted"):
        declare(schema_of(field_of("other", kind, {"max_length": 5})), POLICY)
    assert stored_of(field_of("open", kind, {"max_length": 5}))["open"].data_type == DATA_TYPES[kind]


@pytest.mark.parametrize("name", ["_vg", "_vg_v", "_vgx"])
def test_names_of_ours_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="reserved"):
        declare(schema_of(field_of(name, "Int64")), POLICY)


def test_a_vector_name_too_long_for_its_record_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 251"):
        declare(schema_of(field_of("v" * 252, "FloatVector", {"dim": 4})), POLICY)


def test_partition_keys() -> None:
    for name in ("open", "word"):
        assert stored_of(field_of(name, "Int64", is_partition_key=True))[name].is_partition_key
    with pytest.raises(InvalidArgument, match="cannot be the partition key"):
        declare(schema_of(field_of("other", "Int64", is_partition_key=True)), POLICY)


def test_clustering_keys() -> None:
    assert stored_of(field_of("open", "Int64", is_clustering_key=True))["open"].is_clustering_key
    with pytest.raises(InvalidArgument, match="cannot be the clustering key"):
        declare(schema_of(field_of("word", "Int64", is_clustering_key=True)), POLICY)


@pytest.mark.parametrize("key", ["enable_match", "enable_analyzer", "analyzer_params"])
def test_text_search_needs_plain_text(key: str) -> None:
    value = "true" if key.startswith("enable") else '{"type": "english"}'
    stored_of(field_of("open", "VarChar", {"max_length": 9, key: value}))
    with pytest.raises(InvalidArgument, match="cannot be searched as text"):
        declare(schema_of(field_of("word", "VarChar", {"max_length": 9, key: value})), POLICY)


def test_type_parameters_that_are_not_known_are_refused_where_values_are_encrypted() -> None:
    stored_of(field_of("open", "Int64", {"new": "thing"}))
    with pytest.raises(InvalidArgument, match="does not know: new"):
        declare(schema_of(field_of("other", "Int64", {"new": "thing"})), POLICY)
    assert params_of(stored_of(field_of("other", "Int64", {"mmap.enabled": "true"}))["other"])["mmap.enabled"] == "true"


@pytest.mark.parametrize("length", [0, 65_536])
def test_lengths_out_of_range(length: int) -> None:
    with pytest.raises(InvalidArgument, match="max_length"):
        declare(schema_of(field_of("other", "VarChar", {"max_length": length})), POLICY)


def bm25(source: str) -> s.CollectionSchema:
    text = field_of(source, "VarChar", {"max_length": 99} | ({"enable_analyzer": "true"} if source == "open" else {}))
    schema = schema_of(text, VECTOR, field_of("words", "SparseFloatVector"))
    schema.functions.add(name="f", type=1, input_field_names=[source], output_field_names=["words"])
    return schema


def test_full_text_search_over_plain_text_alone() -> None:
    declaration = declare(bm25("open"), POLICY)
    assert [record.name for record in declaration.vectors] == ["v"]
    assert declaration.layout.columns["words"].role == "open_vector"
    with pytest.raises(InvalidArgument, match="cannot read field other: its mode is sealed"):
        declare(bm25("other"), POLICY)


@pytest.mark.parametrize("kind", [0, 2, 4, 77])
def test_functions_that_would_keep_clear_vectors_are_refused(kind: int) -> None:
    schema = bm25("open")
    schema.functions[0].type = kind
    with pytest.raises(InvalidArgument, match=r"function f of type \w+ is refused"):
        declare(schema, POLICY)


@pytest.mark.parametrize(
    ("part", "value"), [("external_source", "s3://x"), ("enable_namespace", True), ("file_resource_ids", [1])]
)
def test_parts_that_nobody_can_protect_are_refused(part: str, value: object) -> None:
    schema = s.CollectionSchema(**{part: value})
    schema.MergeFrom(schema_of())
    with pytest.raises(InvalidArgument, match=part):
        declare(schema, POLICY)


def test_arrays_of_structs_are_refused() -> None:
    schema = schema_of()
    schema.struct_array_fields.add(name="structs")
    with pytest.raises(InvalidArgument, match="arrays of structs"):
        declare(schema, POLICY)


def test_a_collection_without_a_key_or_a_vector_rule() -> None:
    with pytest.raises(InvalidArgument, match="primary key"):
        declare(s.CollectionSchema(fields=[VECTOR]), POLICY)
    with pytest.raises(FailedPrecondition, match="no rule"):
        declare(schema_of(), policy_with(PayloadRule(), VectorRule(match="other")))


def test_a_sealed_copy_that_does_not_fit() -> None:
    policy = policy_with(PayloadRule(), VectorRule(recover="sealed"))
    declare(schema_of(field_of("v", "FloatVector", {"dim": 4096})), policy)
    with pytest.raises(InvalidArgument, match="does not fit beside the row"):
        declare(schema_of(field_of("v", "FloatVector", {"dim": 16_384})), policy)


def test_bytes_of_a_schema() -> None:
    schema = schema_of()
    assert parse_schema(schema.SerializeToString()) == schema
    assert parse_field(KEY.SerializeToString()) == KEY
    with pytest.raises(InvalidArgument, match="not a valid message"):
        parse_schema(b"\xff\xff")
    with pytest.raises(UnknownField):
        parse_schema(schema.SerializeToString() + b"\xfa\x7f\x03abc")
    nested = s.CollectionSchema.FromString(schema.SerializeToString())
    nested.fields[0].MergeFromString(b"\xfa\x7f\x03abc")
    with pytest.raises(UnknownField):
        parse_schema(nested.SerializeToString())


def test_added_fields() -> None:
    layout = declare(schema_of(), POLICY).layout
    stored = added_field(field_of("other", "Int64", nullable=True), layout, POLICY)
    assert (TYPE_NAMES[stored.data_type], stored.nullable) == ("VarChar", True)
    with pytest.raises(InvalidArgument, match="not support to add vector field"):
        added_field(VECTOR, layout, POLICY)
    with pytest.raises(InvalidArgument, match="cannot be encrypted for each of them"):
        added_field(field_of("other", "Int64", default_value=s.ValueField(long_data=1)), layout, POLICY)
    with pytest.raises(InvalidArgument, match="reserved"):
        added_field(field_of("_vg_x", "Int64"), layout, POLICY)


def test_reserved_properties_of_a_schema() -> None:
    schema = schema_of()
    schema.properties.append(c.KeyValuePair(key="_vg.x", value="y"))
    with pytest.raises(InvalidArgument, match="reserved"):
        declare(schema, POLICY)
