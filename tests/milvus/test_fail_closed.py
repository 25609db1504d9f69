"""Nothing that is not understood goes on, and nothing that was altered is served: unknown RPCs and fields, a missing
policy, a wrong key, damaged manifests and records, swapped rows, collections made anew behind the proxy's back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from proxy.recording import Call, Recorder, recording
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from milvus.pairs import fresh_name
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from vecguard.errors import Unreadable

pytestmark = pytest.mark.slow

POLICY = """
version: 1
collections:
  - match: "hidden*"
    protect: none
  - match: "c*"
    payload: {default: sealed, fields: {word: searchable, shown: plain}}
"""
SERVICE = "/milvus.proto.milvus.MilvusService"
# What the proxy asks of its own accord before it decides.
LOOK_UPS = {f"{SERVICE}/DescribeCollection", f"{SERVICE}/CheckHealth", f"{SERVICE}/Connect", f"{SERVICE}/GetVersion"}
ROWS = [{"id": i, "vector": [float(i), 1.0, -2.0, 0.5], "word": f"w{i}", "shown": i, "note": f"n{i}"} for i in range(4)]


def counts_all(call: Call) -> bool:
    """Whether it is detection's question how large a collection is, asked beside the calls at any time."""
    if call.method != f"{SERVICE}/Query":
        return False
    asked = milvus_pb2.QueryRequest.FromString(call.body)
    return list(asked.output_fields) == ["count(*)"] and not asked.expr


@dataclass
class Guarded:
    """A proxy, the recorder behind it, and the database behind that; clients of both."""

    server: MilvusServer
    recorder: Recorder
    proxy: MilvusProxy
    client: MilvusClient
    rest: MilvusClient
    """The database itself, as a writer behind the proxy's back reaches it."""

    @property
    def forwarded(self) -> list[str]:
        """Methods that reached the database since `recorder.clear`, the proxy's own look-ups left out."""
        return [call.method for call in self.recorder.calls if call.method not in LOOK_UPS and not counts_all(call)]

    def refused(self, call: Callable[[], object], code: int, text: str) -> None:
        """Assert that a call is refused so, and that nothing of it went on."""
        self.recorder.clear()
        with pytest.raises(MilvusException, match=text) as caught:
            call()
        assert caught.value.code == code
        assert self.forwarded == []

    def unreadable(self, call: Callable[[], object]) -> None:
        """Assert that a call gets the one text of whatever cannot be opened."""
        with pytest.raises(MilvusException) as caught:
            call()
        assert (caught.value.code, caught.value.message) == (65_535, Unreadable.TEXT)

    def raw(self, name: str, body: bytes) -> bytes:
        """A unary call in bytes, through the proxy."""
        with grpc.insecure_channel(self.proxy.target) as channel:
            answer: bytes = channel.unary_unary(f"{SERVICE}/{name}")(body, timeout=30)
            return answer


@contextmanager
def guarding(server: MilvusServer, folder: Path, **options: Any) -> Iterator[Guarded]:
    with recording(server.target) as recorder, server.client() as rest:
        behind = MilvusServer(server.process, recorder.port, server.data, server.log)
        with serving_milvus(folder, behind, POLICY, **options) as proxy, proxy.client() as client:
            yield Guarded(server, recorder, proxy, client, rest)


@pytest.fixture(scope="module", params=["lite", "real"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarding(request.getfixturevalue(request.param), tmp_path_factory.mktemp("guarded")) as both:
        yield both


@pytest.fixture
def name(guarded: Guarded) -> Iterator[str]:
    """A protected collection with rows."""
    made = fresh_name()
    guarded.client.create_collection(made, dimension=4)
    guarded.client.insert(made, ROWS)
    yield made
    guarded.rest.drop_collection(made)


def rows(guarded: Guarded, name: str, outputs: tuple[str, ...] = ("*",), expression: str = "id >= 0") -> Any:
    return guarded.client.query(name, filter=expression, output_fields=list(outputs), consistency_level="Strong")


def test_unknown_rpcs(guarded: Guarded) -> None:
    guarded.recorder.clear()
    with pytest.raises(grpc.RpcError) as caught:
        guarded.raw("Teleport", b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "Teleport is not known to VecGuard" in caught.value.details()
    assert guarded.forwarded == []


@pytest.mark.parametrize("method", ["CalcDistance", "Import", "RunAnalyzer", "ReplicateMessage", "BackupRBAC"])
def test_refused_rpcs_say_why(guarded: Guarded, method: str) -> None:
    guarded.recorder.clear()
    answer = guarded.raw(method, b"")
    reply = {"CalcDistance": "CalcDistanceResults", "BackupRBAC": "BackupRBACMetaResponse"}.get(
        method, f"{method}Response"
    )
    status = getattr(milvus_pb2, reply).FromString(answer).status
    assert status.code == 10
    assert f"{method} is refused: " in status.reason
    assert guarded.forwarded == []


@pytest.mark.parametrize("method", ["DumpMessages", "CreateReplicateStream"])
def test_refused_streams(guarded: Guarded, method: str) -> None:
    guarded.recorder.clear()
    with grpc.insecure_channel(guarded.proxy.target) as channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(f"{SERVICE}/{method}")(iter([b""]), timeout=30))
    assert caught.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)
    assert guarded.forwarded == []


@pytest.mark.parametrize("method", ["Insert", "Upsert", "Delete", "Query", "Search", "CreateCollection"])
def test_unknown_fields(guarded: Guarded, name: str, method: str) -> None:
    """A newer client's new field would travel in clear."""
    guarded.recorder.clear()
    request = getattr(milvus_pb2, f"{method}Request")(collection_name=name)
    answer = guarded.raw(method, request.SerializeToString() + b"\xfa\x7f\x06secret")
    assert b"does not know" in answer
    assert guarded.forwarded == []


def test_unknown_fields_within_a_column(guarded: Guarded, name: str) -> None:
    guarded.recorder.clear()
    data = schema_pb2.FieldData(field_name="id", type=5)
    data.MergeFromString(b"\xfa\x7f\x06secret")
    request = milvus_pb2.InsertRequest(collection_name=name, num_rows=1, fields_data=[data])
    assert b"does not know" in guarded.raw("Insert", request.SerializeToString())
    assert guarded.forwarded == []


def test_a_collection_without_a_policy(guarded: Guarded) -> None:
    guarded.refused(lambda: guarded.client.create_collection("other", dimension=4), 1401, "has no entry for")
    guarded.refused(lambda: guarded.client.query("other", filter="id > 0"), 1401, "has no entry for")


def test_a_collection_that_was_made_behind_the_proxy(guarded: Guarded) -> None:
    made = fresh_name()
    guarded.rest.create_collection(made, dimension=4)
    try:
        guarded.refused(lambda: guarded.client.describe_collection(made), 3000, "was not made through this proxy")
        guarded.refused(lambda: guarded.client.insert(made, ROWS), 3000, "was not made through this proxy")
    finally:
        guarded.rest.drop_collection(made)


@pytest.mark.parametrize(
    ("outputs", "expression"),
    [
        (("_vg_vector",), "id >= 0"),
        (("_vg",), "id >= 0"),
        ((" _vg_vector",), "id >= 0"),
        (('$meta["_vg"]',), "id >= 0"),
        (("id",), "_vg_vector != ''"),
        (("id",), "$meta['_vg'] == 1"),
    ],
)
def test_hidden_columns_cannot_be_named(guarded: Guarded, name: str, outputs: tuple[str, ...], expression: str) -> None:
    guarded.refused(lambda: rows(guarded, name, outputs, expression), 1100, "not exist")


def test_hidden_columns_are_never_shown(guarded: Guarded, name: str) -> None:
    with guarded.proxy.stub() as stub:
        described = stub.DescribeCollection(milvus_pb2.DescribeCollectionRequest(collection_name=name))
        level = common_pb2.ConsistencyLevel.Strong
        query = milvus_pb2.QueryRequest(
            collection_name=name, expr="id >= 0", output_fields=["*", "vector"], consistency_level=level
        )
        answered = stub.Query(query)
    assert b"_vg" not in described.SerializeToString()
    assert b"_vg" not in answered.SerializeToString()
    assert len(answered.fields_data) > 2


@pytest.mark.parametrize("key", ["_vg", "_vg.vector.vector", "_vg.declared"])
def test_properties_of_ours_cannot_be_set(guarded: Guarded, name: str, key: str) -> None:
    guarded.refused(lambda: guarded.client.alter_collection_properties(name, {key: "x"}), 1100, "reserved")


def test_parameters_that_are_not_known(guarded: Guarded, name: str) -> None:
    guarded.recorder.clear()
    request = milvus_pb2.QueryRequest(collection_name=name, expr="id >= 0")
    request.query_params.add(key="novel", value="secret")
    answer = milvus_pb2.QueryResults.FromString(guarded.raw("Query", request.SerializeToString()))
    assert (answer.status.code, "novel is not known" in answer.status.reason) == (1100, True)
    assert guarded.forwarded == []


def properties(guarded: Guarded, name: str) -> dict[str, str]:
    return {key: value for key, value in guarded.rest.describe_collection(name)["properties"].items() if "_vg" in key}


@pytest.mark.parametrize("key", ["_vg", "_vg.vector.vector", "_vg.declared"])
@pytest.mark.parametrize("damage", ["x", "", "cut", "flipped"])
def test_damaged_manifests(guarded: Guarded, name: str, key: str, damage: str) -> None:
    text = properties(guarded, name)[key]
    middle = len(text) // 2
    flipped = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    altered = {"x": "x", "": "", "cut": text[:-3], "flipped": flipped}[damage]
    guarded.rest.alter_collection_properties(name, {key: altered})
    for call in (
        lambda: guarded.client.insert(name, [ROWS[0] | {"id": 77}]),
        lambda: guarded.client.describe_collection(name),
    ):
        wait_until_stale(guarded, name)
        guarded.unreadable(call)


def wait_until_stale(guarded: Guarded, name: str) -> None:
    """Make the proxy look at the manifest again: it does so after any change of a collection."""
    guarded.client.create_alias(name, f"{name}_x")
    guarded.client.drop_alias(f"{name}_x")


def test_another_collections_manifest(guarded: Guarded, name: str) -> None:
    other = fresh_name()
    guarded.client.create_collection(other, dimension=4)
    try:
        guarded.rest.alter_collection_properties(name, properties(guarded, other))
        wait_until_stale(guarded, other)
        guarded.unreadable(lambda: rows(guarded, name))
    finally:
        guarded.client.drop_collection(other)


def rewrite_row(guarded: Guarded, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Alter stored rows behind the proxy's back."""
    stored = guarded.rest.query(name, filter="id >= 0", output_fields=["*"], consistency_level="Strong")
    found = sorted((dict(row) for row in stored), key=lambda row: row["id"])
    change(found)
    guarded.rest.upsert(name, found)


def swap(*keys: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(stored: list[dict[str, Any]]) -> None:
        for key in keys:
            stored[0][key], stored[1][key] = stored[1][key], stored[0][key]

    return change


def put(key: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(stored: list[dict[str, Any]]) -> None:
        stored[0][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "outputs"),
    [
        (swap("vector"), ("vector",)),
        (swap("_vg_vector"), ("vector",)),
        (swap("vector", "_vg_vector"), ("vector",)),
        (swap("note"), ("note",)),
        (put("note", "clear text"), ("note",)),
        (put("word", "clear text"), ("word",)),
        (put("vector", [1.0, 2.0, 3.0, 4.0]), ("vector",)),
        (put("_vg_vector", "x"), ("vector",)),
        (put("_vg_vector", ""), ("vector",)),
    ],
)
def test_altered_rows(
    guarded: Guarded, name: str, change: Callable[[list[dict[str, Any]]], None], outputs: tuple[str, ...]
) -> None:
    rewrite_row(guarded, name, change)
    guarded.unreadable(lambda: rows(guarded, name, outputs))
    assert len(rows(guarded, name, ("shown",))) == 4
    assert len(rows(guarded, name, outputs, "id > 1")) == 2


def test_another_key_opens_nothing(guarded: Guarded, name: str, tmp_path: Path) -> None:
    with serving_milvus(tmp_path, guarded.server, POLICY) as proxy, proxy.client() as client:
        with pytest.raises(MilvusException) as caught:
            client.query(name, filter="id >= 0", output_fields=["*"])
        assert (caught.value.code, caught.value.message) == (65_535, Unreadable.TEXT)
        with pytest.raises(MilvusException, match="could not be opened"):
            client.insert(name, ROWS)
    assert len(rows(guarded, name)) == 4


@contextmanager
def elsewhere(guarded: Guarded, folder: Path) -> Iterator[MilvusClient]:
    """A client of another proxy before the same database, with the same key."""
    with (
        serving_milvus(folder, guarded.server, POLICY, key_file=guarded.proxy.key_file) as proxy,
        proxy.client() as client,
    ):
        yield client


def test_a_collection_made_anew_elsewhere(guarded: Guarded, name: str, tmp_path: Path) -> None:
    """Another proxy with the same key makes the collection anew; this one notices at once, and loses nothing."""
    assert len(rows(guarded, name)) == 4
    with elsewhere(guarded, tmp_path) as client:
        client.drop_collection(name)
        client.create_collection(name, dimension=4)
        # Written with the manifest of the collection that was, then found out, and written again.
        guarded.client.insert(name, [ROWS[1]])
        found = client.query(name, filter="id >= 0", output_fields=["*"], consistency_level="Strong")
        assert [row["note"] for row in found] == ["n1"]
        client.insert(name, [ROWS[2]])
        assert sorted(row["note"] for row in rows(guarded, name)) == ["n1", "n2"]


def test_a_collection_made_anew_is_read_with_its_own_manifest(guarded: Guarded, name: str, tmp_path: Path) -> None:
    assert len(rows(guarded, name)) == 4
    with elsewhere(guarded, tmp_path) as client:
        client.drop_collection(name)
        client.create_collection(name, dimension=4)
        client.insert(name, [ROWS[3]])
        (row,) = rows(guarded, name)
        assert (row["note"], row["shown"]) == ("n3", 3)


def test_rows_that_went_under_a_stale_manifest_are_taken_out(guarded: Guarded, tmp_path: Path) -> None:
    """Where the database makes the keys, writing again alone would leave rows that nobody can open."""
    made = fresh_name()

    def make(client: MilvusClient) -> None:
        client.create_collection(made, dimension=4, auto_id=True)

    make(guarded.client)
    row = {key: value for key, value in ROWS[0].items() if key != "id"}
    guarded.client.insert(made, [row])
    with elsewhere(guarded, tmp_path) as client:
        client.drop_collection(made)
        make(client)
        guarded.client.insert(made, [row | {"note": "again"}])
        (count,) = client.query(made, output_fields=["count(*)"], consistency_level="Strong")
        (found,) = client.query(made, filter="id > 0", output_fields=["*"], consistency_level="Strong")
    assert (count["count(*)"], found["note"]) == (1, "again")
    guarded.client.drop_collection(made)


def test_a_policy_that_no_longer_fits(guarded: Guarded, name: str, tmp_path: Path) -> None:
    other = POLICY.replace("word: searchable", "word: plain")
    with (
        serving_milvus(tmp_path, guarded.server, other, key_file=guarded.proxy.key_file) as proxy,
        proxy.client() as client,
        pytest.raises(MilvusException, match="does not fit collection") as caught,
    ):
        client.query(name, filter="id >= 0")
    assert caught.value.code == 3000


def test_renaming_to_where_other_rules_hold(guarded: Guarded, name: str) -> None:
    guarded.refused(lambda: guarded.client.rename_collection(name, "hidden_now"), 3000, "does not protect")
    guarded.refused(lambda: guarded.client.rename_collection(name, "other"), 1401, "has no entry for")


def test_a_crash_while_renaming_leaves_the_collection_readable(guarded: Guarded, name: str) -> None:
    """Between its steps the manifest names the collection under both names."""
    new = fresh_name()
    guarded.client.rename_collection(name, new)
    kept = properties(guarded, new)
    guarded.client.rename_collection(new, name)
    # As if the last step, which names the collection anew in the core itself, had not been reached.
    back = properties(guarded, name)
    guarded.rest.alter_collection_properties(name, {"_vg": kept["_vg"], "_vg.next": back["_vg"]})
    wait_until_stale(guarded, name)
    guarded.client.load_collection(name)
    assert len(rows(guarded, name)) == 4
