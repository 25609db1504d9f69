"""What the proxy does not understand, or may not do, is refused with a clear status, and nothing is forwarded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import grpc as q
from serving import Server, serving_proxy

from proxy.behind import DIMS, Guarded, guarded, unnamed
from proxy.conftest import payload, vectors
from vecguard.front.qdrant.table import ROUTES
from vecguard.keys.file import FileKeyProvider

UPSERT = "/qdrant.Points/Upsert"
QUERY = "/qdrant.Points/Query"


def unknown(number: int, text: bytes = b"in clear") -> bytes:
    """Wire bytes of a field that no message here has: length-delimited, number above 15."""
    tag = number << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7, len(text)]) + text


def within(*path: int, content: bytes) -> bytes:
    """Wire bytes of `content` inside nested messages with these field numbers, outermost first."""
    for number in reversed(path):
        length = len(content)
        size = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
        tag = number << 3 | 2
        head = bytes([tag]) if tag < 128 else bytes([tag & 0x7F | 0x80, tag >> 7])
        content = head + size + content
    return content


def named(collection: str) -> bytes:
    """Wire bytes of field 1, the collection's name, in all of Qdrant's requests."""
    return within(1, content=collection.encode())


class TestUnknownRpc:
    def test_a_method_that_no_table_has(self, place: Guarded, collection: str) -> None:
        body = named(collection)
        place.refused(lambda: place.client.raw("/qdrant.Points/UpsertRaw", body), "UNIMPLEMENTED", "UpsertRaw")
        place.refused(lambda: place.client.raw("/other.Service/Do", body), "UNIMPLEMENTED", "/other.Service/Do")

    def test_a_known_method_of_another_service(self, place: Guarded, collection: str) -> None:
        place.refused(lambda: place.client.raw("/qdrant.PointsInternal/Upsert", named(collection)), "UNIMPLEMENTED")

    @pytest.mark.parametrize("method", ["/qdrant.Points/Stream", "/qdrant.Points/UpsertRaw"])
    def test_streams(self, place: Guarded, collection: str, method: str) -> None:
        bodies = [named(collection)] * 3
        channel = place.client.channel
        place.refused(lambda: channel.stream_unary(method)(iter(bodies)), "UNIMPLEMENTED")
        place.refused(lambda: list(channel.stream_stream(method)(iter(bodies))), "UNIMPLEMENTED")
        place.refused(lambda: list(channel.unary_stream(method)(bodies[0])), "UNIMPLEMENTED")

    def test_a_known_method_called_as_a_stream_takes_one_message(self, place: Guarded, collection: str) -> None:
        """gRPC hands a unary handler the first message and drops the others."""
        points = [q.PointStruct(id=q.PointId(num=i), vectors=vectors(i), payload=payload(i)) for i in (7, 8, 9)]
        bodies = [q.UpsertPoints(collection_name=collection, points=[p]).SerializeToString() for p in points]
        place.recorder.clear()
        place.client.channel.stream_unary(UPSERT)(iter(bodies))
        sent = [q.UpsertPoints.FromString(c.body).points for c in place.recorder.calls if c.method == UPSERT]
        assert [point.id.num for batch in sent for point in batch] == [7]
        assert set(sent[0][0].payload) == {"_p", "_vg"}

    def test_a_known_method_is_served(self, place: Guarded, collection: str) -> None:
        answer = place.client.raw("/qdrant.Points/Count", named(collection))
        assert q.CountResponse.FromString(answer).result.count == 2


# Where a newer client could put something: field numbers from the outermost message inwards.
DEEP = {
    "a point": (UPSERT, (3,)),
    "a point's id": (UPSERT, (3, 1)),
    "the vectors of a point": (UPSERT, (3, 4)),
    "the vector oneof": (UPSERT, (3, 4, 1)),
    "a dense vector": (UPSERT, (3, 4, 1, 101)),
    "a sparse vector": (UPSERT, (3, 4, 1, 102)),
    "a row of a multivector": (UPSERT, (3, 4, 1, 103, 1)),
    "named vectors": (UPSERT, (3, 4, 2)),
    "an entry of the map of vectors": (UPSERT, (3, 4, 2, 1)),
    "a vector in the map of vectors": (UPSERT, (3, 4, 2, 1, 2)),
    "an entry of the payload": (UPSERT, (3, 3)),
    "a payload value": (UPSERT, (3, 3, 2)),
    "a struct in the payload": (UPSERT, (3, 3, 2, 6)),
    "an entry of a struct in the payload": (UPSERT, (3, 3, 2, 6, 1)),
    "the update filter": (UPSERT, (6,)),
    "a Query variant": (QUERY, (3,)),
    "nearest": (QUERY, (3, 1)),
    "recommend": (QUERY, (3, 2)),
    "a context pair": (QUERY, (3, 4, 1)),
    "a formula": (QUERY, (3, 8, 1)),
    "a filter": (QUERY, (5,)),
    "a filter condition": (QUERY, (5, 2)),
    "a field condition": (QUERY, (5, 2, 1)),
    "a match": (QUERY, (5, 2, 1, 2)),
    "a nested filter": (QUERY, (5, 2, 6, 2, 1)),
    "a prefetch": (QUERY, (2,)),
    "a prefetch of a prefetch": (QUERY, (2, 1)),
    "a prefetch's query": (QUERY, (2, 2, 1)),
    "search parameters": (QUERY, (6,)),
    "lookup_from": (QUERY, (14,)),
    "a batch operation": ("/qdrant.Points/UpdateBatch", (3,)),
    "vectors of an update in a batch": ("/qdrant.Points/UpdateBatch", (3, 7, 1, 2, 1)),
    "an inner query of a batch": ("/qdrant.Points/QueryBatch", (2, 3)),
    "an inner search of a batch": ("/qdrant.Points/SearchBatch", (2,)),
    "collection metadata": ("/qdrant.Collections/Create", (18,)),
    "vector parameters": ("/qdrant.Collections/Create", (10, 1)),
}


class TestUnknownField:
    TEXT = "protobuf fields that this version of VecGuard does not know"

    @pytest.mark.parametrize("rpc", [rpc for rpc, route in ROUTES.items() if route.action != "admin"])
    def test_at_the_top_of_every_rpc(self, place: Guarded, rpc: str) -> None:
        place.refused(lambda: place.client.raw(rpc, unknown(1000)), "INVALID_ARGUMENT", self.TEXT, rpc)

    @pytest.mark.parametrize("where", DEEP)
    def test_deep_inside(self, place: Guarded, collection: str, where: str) -> None:
        rpc, path = DEEP[where]
        body = named(collection) + within(*path, content=unknown(1000))
        place.refused(lambda: place.client.raw(rpc, body), "INVALID_ARGUMENT", self.TEXT, rpc)

    def test_of_another_wire_type_than_is_known(self, place: Guarded, collection: str) -> None:
        varint_points = b"\x18\x01"  # UpsertPoints.points (3) as a number
        body = named(collection) + varint_points
        place.refused(lambda: place.client.raw(UPSERT, body), "INVALID_ARGUMENT", self.TEXT)


NO_MESSAGE = [b"\xff", b"\x0a\x7fshort", b"\x0b", bytes(range(200, 255)) + b"\x07", b"\x0a\x02\xff\xfe"]


@pytest.mark.parametrize("body", NO_MESSAGE)
def test_malformed_bytes(place: Guarded, body: bytes) -> None:
    place.refused(lambda: place.client.raw(UPSERT, body), "INVALID_ARGUMENT", "not a valid qdrant.UpsertPoints")


class TestPolicy:
    def test_a_collection_that_no_entry_covers(self, place: Guarded) -> None:
        params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
        ask = q.CreateCollection(collection_name="unheard", vectors_config=q.VectorsConfig(params=params))
        place.refused(lambda: place.client.collections.Create(ask), "PERMISSION_DENIED", "`unheard`")
        place.rest.collections.Create(ask)
        points = [q.PointStruct(id=q.PointId(num=1), vectors=unnamed(range(DIMS)))]
        write, read = (
            q.UpsertPoints(collection_name="unheard", points=points),
            q.ScrollPoints(collection_name="unheard"),
        )
        delete = q.DeleteCollection(collection_name="unheard")
        place.refused(lambda: place.client.points.Upsert(write), "PERMISSION_DENIED", "`unheard`")
        place.refused(lambda: place.client.points.Scroll(read), "PERMISSION_DENIED", "`unheard`")
        place.refused(lambda: place.client.collections.Delete(delete), "PERMISSION_DENIED", "`unheard`")
        place.rest.collections.Delete(delete)

    def test_a_collection_that_was_not_made_through_the_proxy(self, place: Guarded) -> None:
        name = "box-foreign"
        params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
        place.rest.collections.Create(
            q.CreateCollection(collection_name=name, vectors_config=q.VectorsConfig(params=params))
        )
        points = [q.PointStruct(id=q.PointId(num=1), vectors=unnamed(range(DIMS)))]
        text = "was not made through this proxy"
        for call in (
            lambda: place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points)),
            lambda: place.client.points.Scroll(q.ScrollPoints(collection_name=name)),
            lambda: place.client.points.Count(q.CountPoints(collection_name=name)),
            lambda: place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=name)),
            lambda: place.client.collections.Update(q.UpdateCollection(collection_name=name)),
        ):
            place.refused(call, "FAILED_PRECONDITION", text, name, "collections[5]")
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))

    def test_protect_none_passes_in_clear_what_it_says(self, place: Guarded) -> None:
        name = "open-clear"
        params = q.VectorParams(size=DIMS, distance=q.Distance.Dot)
        place.client.collections.Create(
            q.CreateCollection(collection_name=name, vectors_config=q.VectorsConfig(params=params))
        )
        point = q.PointStruct(
            id=q.PointId(num=1), vectors=unnamed(range(DIMS)), payload={"a": q.Value(string_value="b")}
        )
        place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point], wait=True))
        assert place.stored(name, 1)[0].payload == {"a": q.Value(string_value="b")}
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))

    def test_an_alias_does_not_lead_round_the_policy(self, place: Guarded, collection: str) -> None:
        """An alias that another entry covers (here `protect: none`) must not open its collection under that entry."""
        add = q.AliasOperations(create_alias=q.CreateAlias(collection_name=collection, alias_name="open-alias"))
        place.rest.collections.UpdateAliases(q.ChangeAliases(actions=[add]))
        points = [q.PointStruct(id=q.PointId(num=1), vectors=unnamed(range(DIMS)))]
        write = q.UpsertPoints(collection_name="open-alias", points=points)
        place.refused(lambda: place.client.points.Upsert(write), "FAILED_PRECONDITION", "collections[0]")

    def test_an_alias_of_a_foreign_collection_does_not_either(self, place: Guarded) -> None:
        params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
        ask = q.CreateCollection(collection_name="box-foreign", vectors_config=q.VectorsConfig(params=params))
        place.rest.collections.Create(ask)
        add = q.AliasOperations(create_alias=q.CreateAlias(collection_name="box-foreign", alias_name="open-foreign"))
        place.rest.collections.UpdateAliases(q.ChangeAliases(actions=[add]))
        points = [q.PointStruct(id=q.PointId(num=1), vectors=unnamed(range(DIMS)))]
        write = q.UpsertPoints(collection_name="open-foreign", points=points)
        place.refused(lambda: place.client.points.Upsert(write), "FAILED_PRECONDITION", "collections[5]")
        place.rest.collections.Delete(q.DeleteCollection(collection_name="box-foreign"))

    @pytest.mark.slow
    def test_a_policy_that_no_longer_fits_names_the_difference(
        self, engine: Server, place: Guarded, collection: str, tmp_path: Path
    ) -> None:
        assert place.proxy.key_file is not None
        changed = """
version: 1
collections:
  - match: "box-*"
    vectors:
      - transforms: [{kind: rotation}, {kind: gaussian, ratio: 2.0}]
        recover: sealed
    payload: {default: searchable}
"""
        with guarded(engine, tmp_path / "changed", changed, place.proxy.key_file) as other:
            read = q.ScrollPoints(collection_name=collection)
            texts = ("transforms of vector `d`", "2.0", "recover of vector `m`", "payload is", "searchable")
            other.refused(lambda: other.client.points.Scroll(read), "FAILED_PRECONDITION", "does not fit", *texts)

    @pytest.mark.slow
    def test_protect_none_does_not_open_a_protected_collection(
        self, engine: Server, place: Guarded, collection: str, tmp_path: Path
    ) -> None:
        assert place.proxy.key_file is not None
        clear = 'version: 1\ncollections: [{match: "*", protect: none}]\n'
        with guarded(engine, tmp_path / "clear", clear, place.proxy.key_file) as other:
            points = [q.PointStruct(id=q.PointId(num=7), vectors=unnamed(range(DIMS)))]
            for call in (
                lambda: other.client.points.Scroll(q.ScrollPoints(collection_name=collection)),
                lambda: other.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=points)),
                lambda: other.client.collections.Get(q.GetCollectionInfoRequest(collection_name=collection)),
            ):
                other.refused(call, "FAILED_PRECONDITION", "says `protect: none`", "collections[0]")


class TestKey:
    @pytest.mark.slow
    def test_another_key_opens_nothing(self, engine: Server, place: Guarded, collection: str, tmp_path: Path) -> None:
        assert place.proxy.policy is not None
        with guarded(engine, tmp_path / "other", place.proxy.policy.read_text()) as other:
            points = [q.PointStruct(id=q.PointId(num=7), vectors=unnamed(range(DIMS)))]
            for call in (
                lambda: other.client.points.Scroll(q.ScrollPoints(collection_name=collection)),
                lambda: other.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=points)),
                lambda: other.client.points.Delete(
                    q.DeletePoints(collection_name=collection, points=q.PointsSelector(filter=q.Filter()))
                ),
            ):
                other.unreadable(call)
                assert other.recorder.forwarded == []

    @pytest.mark.slow
    def test_a_missing_key_file_before_existing_data_is_not_made_anew(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path) as running:
            key = running.key_file
        assert key is not None
        kept = key.read_bytes()
        key.unlink()
        with pytest.raises(AssertionError, match=r"key file .* is missing, but there is data"), serving_proxy(tmp_path):
            pass
        assert not key.exists()
        key.write_bytes(kept)
        key.chmod(0o600)
        with serving_proxy(tmp_path):
            pass

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", ["wide", "cut", "text"])
    def test_a_key_file_that_cannot_be_trusted_ends_the_start(self, tmp_path: Path, damage: str) -> None:
        key = tmp_path / "vecguard.key"
        FileKeyProvider.create(key)
        content = key.read_bytes()
        key.write_bytes({"wide": content, "cut": content[:-10], "text": b"not a key\n"}[damage])
        key.chmod(0o644 if damage == "wide" else 0o600)
        command = [sys.executable, "-m", "vecguard", "serve", "--key-file", str(key), "--listen", "127.0.0.1:0"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, text=True, check=False)
        assert ended.returncode == 1
        assert f"vecguard serve: key file {key} " in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / "vecguard-data").exists()
