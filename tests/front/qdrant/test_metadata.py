"""Our metadata is found again and never shown; a client's is sealed under its own keys."""

import asyncio

import pytest
from qdrant_client import grpc as q
from shields import record_of, ring_of

from vecguard.catalog import StoredManifest
from vecguard.errors import InvalidArgument, Unreadable, UpstreamFailure
from vecguard.front.qdrant import metadata as meta
from vecguard.front.qdrant.payloads import python_value
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import Manifest, open_core, open_vector
from vecguard.policy.model import PayloadRule

PROVIDER = LocalWrapping(Key(bytes(32)))
NULL = q.Value(null_value=q.NullValue.NULL_VALUE)


@pytest.fixture
def born():
    return Manifest.new("notes", PayloadRule(), PROVIDER)


class Database:
    """Answers one `Collections/Get` with this metadata."""

    def __init__(self, metadata, *, described=True):
        self.answer = q.GetCollectionInfoResponse()
        if described:
            self.answer.result.SetInParent()
            for key, value in metadata.items():
                self.answer.result.config.metadata[key].CopyFrom(value)
        self.asked = None

    async def stamped(self, rpc, message, answer, caller):
        self.asked = (rpc, message, caller)
        return answer.FromString(self.answer.SerializeToString()), "stamp"


def read(metadata, **more):
    return asyncio.run(meta.read_manifest(Database(metadata, **more), "notes", 3.0))


def test_a_manifest_is_read_back_as_it_was_written(born):
    manifest, ring = born
    records = [record_of("a"), record_of("")]
    metadata = meta.core_metadata(manifest, records, ring)
    assert set(metadata) == {"_vg", "_vg.vector.a", "_vg.vector."}
    stored = read(metadata | {"mine": q.Value(string_value="x"), "_vg.index._p.a": q.Value(string_value="")})
    assert set(stored.vectors) == {"a", ""}
    opened, keys = open_core(stored.core, PROVIDER)
    assert opened == manifest
    assert [open_vector(r.name, stored.vectors[r.name], opened, keys) for r in records] == records


def test_a_vector_is_added_and_removed_by_its_own_key(born):
    manifest, ring = born
    metadata = meta.core_metadata(manifest, [record_of("a")], ring)
    added = meta.vector_metadata(record_of("b.c"), manifest, ring)
    stored = read(metadata | added)
    assert open_vector("b.c", stored.vectors["b.c"], manifest, ring) == record_of("b.c")
    # Null is how a key is deleted in Qdrant's merge of metadata.
    assert meta.without_vector("b.c") == dict.fromkeys(added, NULL)


def test_a_collection_without_a_manifest_has_none():
    assert read({}) is None
    assert read({"mine": q.Value(string_value="x")}) is None


def test_vector_records_without_a_manifest_are_unreadable(born):
    manifest, ring = born
    with pytest.raises(Unreadable):
        read(meta.vector_metadata(record_of("a"), manifest, ring))


def test_a_manifest_of_another_type_is_no_manifest():
    assert read({"_vg": q.Value(integer_value=7)}) == StoredManifest("", {})
    with pytest.raises(Unreadable):
        open_core("", PROVIDER)


def test_an_answer_that_describes_nothing_is_a_failure():
    with pytest.raises(UpstreamFailure, match="without saying anything") as failure:
        read({}, described=False)
    assert failure.value.status == "INTERNAL"


def test_the_database_is_asked_once_and_in_time():
    database = Database({})
    asyncio.run(meta.read_manifest(database, "notes", 3.0))
    assert database.asked == ("/qdrant.Collections/Get", q.GetCollectionInfoRequest(collection_name="notes"), 3.0)


def test_the_core_is_compared_byte_for_byte(born):
    manifest, ring = born
    metadata = meta.core_metadata(manifest, [], ring)
    core = metadata["_vg"].string_value
    assert meta.has_core(metadata, core)
    assert not meta.has_core(metadata, core + "A")
    assert not meta.has_core({}, "")


# -- declared indexes --------------------------------------------------------------------------------------------------

INTEGER = q.CreateFieldIndexCollection(
    collection_name="notes",
    field_name="_p.n",
    wait=True,
    field_type=q.FieldType.FieldTypeInteger,
    field_index_params=q.PayloadIndexParams(integer_index_params=q.IntegerIndexParams(lookup=True)),
)


def test_declared_indexes_come_back_without_the_call_around_them():
    metadata = meta.index_metadata("_p.n", INTEGER) | meta.index_metadata("_p.k", q.CreateFieldIndexCollection())
    assert set(metadata) == {"_vg.index._p.n", "_vg.index._p.k"}
    expected = q.CreateFieldIndexCollection(
        field_type=INTEGER.field_type, field_index_params=INTEGER.field_index_params
    )
    found = meta.declared_indexes(metadata | {"_vg": q.Value(string_value="x"), "mine": q.Value()})
    assert found == {"_p.n": expected, "_p.k": q.CreateFieldIndexCollection()}
    assert meta.without_index("_p.n") == {"_vg.index._p.n": NULL}


@pytest.mark.parametrize("text", ["!", "A", "//8", "/////w=="])
def test_a_damaged_declaration_is_unreadable(text):
    with pytest.raises(Unreadable):
        meta.declared_indexes({"_vg.index._p.n": q.Value(string_value=text)})


# -- a client's metadata -----------------------------------------------------------------------------------------------


def client_metadata():
    message = q.CreateCollection()
    message.metadata["owner"].string_value = "Ada Lovelace"
    message.metadata["deep"].struct_value.fields["n"].integer_value = 7
    message.metadata["gone"].CopyFrom(NULL)
    return message


def test_a_clients_metadata_is_sealed_and_comes_back(shield):
    message, clear = client_metadata(), client_metadata()
    meta.seal_client_metadata(message.metadata, shield.fields, shield.manifest)
    assert b"Lovelace" not in message.SerializeToString()  # three letters occur in sealed text by chance
    assert set(message.metadata) == set(clear.metadata)
    assert message.metadata["gone"] == NULL  # it deletes a key, and must go on doing so
    message.metadata["_vg"].string_value = "ours"
    message.metadata["_vg.vector.a"].string_value = "ours"
    meta.client_metadata(message.metadata, shield.fields, shield.manifest)
    assert message == clear
    assert python_value(message.metadata["deep"]) == {"n": 7}


def test_a_clients_metadata_opens_in_its_own_collection_only(shield):
    message = client_metadata()
    meta.seal_client_metadata(message.metadata, shield.fields, shield.manifest)
    sealed_elsewhere = message.metadata["deep"].struct_value.fields["n"].string_value
    for forged in (sealed_elsewhere, "Eve"):
        altered = q.CreateCollection.FromString(message.SerializeToString())
        altered.metadata["owner"].string_value = forged
        with pytest.raises(Unreadable):
            meta.client_metadata(altered.metadata, shield.fields, shield.manifest)
    other, _ = Manifest.new("other", PayloadRule(), PROVIDER)
    with pytest.raises(Unreadable):
        meta.client_metadata(message.metadata, shield.fields, other)


@pytest.mark.parametrize("key", ["_vg", "_vg.vector.a", "_vg.index._p.n", "_vg.new"])
def test_a_client_cannot_write_our_keys(shield, key):
    message = q.CreateCollection()
    message.metadata[key].string_value = "forged"
    with pytest.raises(InvalidArgument, match="is reserved"):
        meta.seal_client_metadata(message.metadata, shield.fields, shield.manifest)


@pytest.mark.parametrize("key", ["_vgx", "x._vg", "_v", ""])
def test_keys_that_only_look_like_ours_are_the_clients(shield, key):
    message = q.CreateCollection()
    message.metadata[key].string_value = "mine"
    meta.seal_client_metadata(message.metadata, shield.fields, shield.manifest)
    meta.client_metadata(message.metadata, shield.fields, shield.manifest)
    assert message.metadata[key].string_value == "mine"


def test_a_manifest_of_another_key_gives_other_tags(born):
    manifest, ring = born
    mine, theirs = (meta.core_metadata(manifest, [], keys)["_vg"].string_value for keys in (ring, ring_of(9)))
    assert mine.split(".")[:2] == theirs.split(".")[:2]
    assert mine != theirs
