"""The manifest in a collection's properties, and the collection as its client is shown it."""

from __future__ import annotations

import pytest
from shields import manifest_of, ring_of

from front.milvus.schemas import POLICY, VECTOR, field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import metadata as meta
from vecguard.front.milvus.declared import show
from vecguard.front.milvus.layout import build
from vecguard.front.milvus.place import Place
from vecguard.front.milvus.proto import c, m, s
from vecguard.front.milvus.schema import declare
from vecguard.manifest import pack_core
from vecguard.seal.declaration import open_declaration

MANIFEST, RING = manifest_of(), ring_of(1)
DECLARATION = declare(schema_of(VECTOR), POLICY)
PROPERTIES = meta.manifest_properties(MANIFEST, DECLARATION.vectors, DECLARATION.layout.schema, RING)


def test_what_is_kept_is_found_again() -> None:
    stored = meta.stored_manifest(meta.pairs(PROPERTIES | {"own": "thing"}), "notes")
    assert stored is not None
    assert stored.core == PROPERTIES["_vg"]
    assert list(stored.vectors) == ["v"]
    assert stored.declared is not None
    content = open_declaration(stored.declared, RING, MANIFEST.uuid.bytes)
    assert s.CollectionSchema.FromString(content) == DECLARATION.layout.schema


def test_a_collection_without_a_manifest_and_one_with_parts_of_it() -> None:
    assert meta.stored_manifest(meta.pairs({"own": "thing"}), "notes") is None
    with pytest.raises(Unreadable):
        meta.stored_manifest(meta.pairs({key: text for key, text in PROPERTIES.items() if key != "_vg"}), "notes")


def test_the_core_of_the_name_that_the_collection_has_is_taken() -> None:
    renamed = pack_core(MANIFEST.model_copy(update={"collection": "letters"}), RING)
    both = meta.pairs(PROPERTIES | {meta.NEXT: renamed})
    for key, expected in (("notes", PROPERTIES["_vg"]), ("letters", renamed), ("else", PROPERTIES["_vg"])):
        stored = meta.stored_manifest(both, key)
        assert stored is not None
        assert stored.core == expected


@pytest.mark.parametrize("text", ["", "x", "vgm1.!.x", "vgm1.MTI.x"])
def test_a_damaged_core_is_left_to_be_found_out(text: str) -> None:
    renamed = pack_core(MANIFEST.model_copy(update={"collection": "letters"}), RING)
    stored = meta.stored_manifest(meta.pairs({"_vg": text, meta.NEXT: renamed}), "notes")
    assert stored is not None
    assert stored.core == text


def test_clients_neither_set_nor_see_ours() -> None:
    meta.require_clients(meta.pairs({"own": "thing"}), ["own"])
    for properties, deleted in (({"_vg.x": "y"}, []), ({}, ["_vg"])):
        with pytest.raises(InvalidArgument, match="reserved"):
            meta.require_clients(meta.pairs(properties), deleted)
    described = m.DescribeCollectionResponse(properties=meta.pairs(PROPERTIES | {"own": "thing"}))
    meta.hide(described.properties)
    assert [(pair.key, pair.value) for pair in described.properties] == [("own", "thing")]


def test_an_alias_is_answered_with_the_collections_own_name() -> None:
    described = m.DescribeCollectionResponse(collection_name="alias", schema=s.CollectionSchema(name="notes"))
    assert meta.described_as(described, Place("north", "alias")) == Place("north", "notes")
    assert meta.described_as(m.DescribeCollectionResponse(), Place("north", "notes")).name == "notes"


def test_a_description_is_that_of_the_declared_collection() -> None:
    schema = schema_of(
        field_of("other", "Int64", description="secret", default_value=s.ValueField(long_data=5)),
        field_of("word", "Array", {"max_capacity": 3, "max_length": 9}, element="VarChar"),
        field_of("v", "Float16Vector", {"dim": 8}),
        dynamic=True,
    )
    schema.description = "about"
    stored = declare(schema, POLICY).stored
    for number, field in enumerate(stored.fields):
        field.fieldID = 100 + number
    stored.fields[1].type_params.append(c.KeyValuePair(key="mmap.enabled", value="true"))
    described = m.DescribeCollectionResponse(schema=stored, properties=meta.pairs(PROPERTIES))
    show(described, build(schema, POLICY.payload))
    shown = described.schema
    assert (shown.description, len(described.properties)) == ("about", 0)
    assert [field.name for field in shown.fields] == ["id", "other", "word", "v"]
    assert [field.fieldID for field in shown.fields] == [100, 101, 102, 103]
    assert shown.fields[1].type_params[0].key == "mmap.enabled"
    for field, declared in zip(shown.fields, schema.fields, strict=True):
        field.fieldID = 0
        del field.type_params[:]
        field.type_params.extend(declared.type_params)
        assert field == declared


def test_columns_that_are_not_both_declared_and_stored_are_not_shown() -> None:
    _, layout = shield_for(schema_of(field_of("open", "Int64"), field_of("later", "Int64")))
    stored = declare(schema_of(field_of("open", "Int64")), POLICY).stored
    stored.fields.append(field_of("foreign", "Int64"))
    described = m.DescribeCollectionResponse(schema=stored)
    show(described, layout)
    assert [field.name for field in described.schema.fields] == ["id", "open", "v"]
