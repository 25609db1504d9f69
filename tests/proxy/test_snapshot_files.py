"""Snapshot files over REST: out and in again unchanged, for administrators only, and nothing that does not belong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import grpc as q
from serving import Proxy, serving_proxy

from proxy.processes import until

pytestmark = pytest.mark.slow

ADMIN = """
version: 1
access:
  anonymous: [read, write, admin]
collections:
  - match: "snap-open-*"
    protect: none
  - match: "snap-*"
    payload: {default: sealed, fields: {tag: searchable}}
"""
NO_ADMIN = ADMIN.replace(", admin]", "]")
LEFT_S = 60.0
OCTETS = "application/octet-stream"


@dataclass
class Place:
    """A proxy before an embedded engine."""

    http: httpx.Client
    incoming: Path

    def filled(self, name: str) -> None:
        """Make a collection with three points."""
        create = {"vectors": {"size": 3, "distance": "Cosine"}}
        assert self.http.put(f"/collections/{name}", json=create).status_code == 200
        points = [{"id": i, "vector": [i, -0.5, 0.125], "payload": {"tag": "ab"[i % 2], "n": i}} for i in (1, 2, 3)]
        assert self.http.put(f"/collections/{name}/points?wait=true", json={"points": points}).status_code == 200

    def found(self, name: str) -> Any:
        """What a search finds: ids, scores and payloads."""
        query = {"query": [1, 0.5, 0.25], "with_payload": True, "with_vector": True, "limit": 10}
        query["filter"] = {"must": [{"key": "tag", "match": {"any": ["a", "b"]}}]}
        return self.http.post(f"/collections/{name}/points/query", json=query).json()["result"]["points"]

    def snapshot(self, name: str) -> tuple[str, bytes]:
        """A new snapshot's name and file."""
        made = self.http.post(f"/collections/{name}/snapshots").json()["result"]
        got = self.http.get(f"/collections/{name}/snapshots/{made['name']}")
        assert (got.status_code, got.headers["content-type"]) == (200, OCTETS)
        assert got.headers["content-disposition"] == f'attachment; filename="{made["name"]}"'
        assert hashlib.sha256(got.content).hexdigest() == made["checksum"]
        return made["name"], got.content

    def delete(self, name: str) -> None:
        """Delete a collection."""
        assert self.http.delete(f"/collections/{name}").json()["result"] is True

    def upload(self, name: str, file: bytes, query: str = "", field: str = "snapshot") -> tuple[int, Any]:
        """Code and JSON of the answer; a failed upload leaves nothing behind."""
        answer = self.http.post(f"/collections/{name}/snapshots/upload{query}", files={field: ("f", file, OCTETS)})
        self.nothing_left()
        return answer.status_code, answer.json()

    def nothing_left(self) -> None:
        """Assert that the engine keeps no part of any upload; a call that was left is cleaned up after a moment."""
        deadline = time.monotonic() + LEFT_S
        while (left := list(self.incoming.glob("*"))) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left == []

    def refused(self, code: int, text: str, answer: tuple[int, Any]) -> None:
        """Assert a refusal with its reason."""
        assert answer[0] == code, answer
        assert text in answer[1]["status"]["error"]


@pytest.fixture(scope="module")
def place(proxy: Callable[[str | None], Proxy]) -> Iterator[Place]:
    server = proxy(ADMIN)
    with httpx.Client(base_url=server.url, timeout=60) as http:
        yield Place(http, server.data / "snapshots" / "incoming")


@pytest.fixture(scope="module")
def kept(place: Place) -> bytes:
    """The snapshot of the collection `snap-kept`, which is gone."""
    place.filled("snap-kept")
    file = place.snapshot("snap-kept")[1]
    place.delete("snap-kept")
    return file


@pytest.mark.parametrize("name", ["snap-round", "snap-open-round"])
def test_a_collection_comes_back_as_it_was(place: Place, name: str) -> None:
    place.filled(name)
    before = place.found(name)
    assert len(before) == 3
    snapshot, file = place.snapshot(name)
    place.refused(409, "delete this one first", place.upload(name, file))
    place.delete(name)
    assert place.http.get(f"/collections/{name}/snapshots/{snapshot}").status_code == 404
    checksum = hashlib.sha256(file).hexdigest()
    code, answer = place.upload(name, file, f"?wait=true&priority=snapshot&checksum={checksum}")
    assert (code, answer["result"], answer["status"]) == (200, True, "ok")
    assert place.found(name) == before
    more = {"points": [{"id": 4, "vector": [1, 1, 1], "payload": {"tag": "a"}}]}
    assert place.http.put(f"/collections/{name}/points?wait=true", json=more).status_code == 200
    assert len(place.found(name)) == 4
    place.delete(name)


def test_a_full_snapshot_is_sent(place: Place) -> None:
    place.filled("snap-full")
    made = place.http.post("/snapshots").json()["result"]
    got = place.http.get(f"/snapshots/{made['name']}")
    assert hashlib.sha256(got.content).hexdigest() == made["checksum"]
    place.refused(400, "no snapshot of a collection", place.upload("snap-other", got.content))
    place.delete("snap-full")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/collections/snap-names/snapshots/none.snapshot", "Snapshot none.snapshot not found"),
        ("/collections/snap-names/snapshots/..%2F..%2FLOCK", "not found"),
        ("/collections/snap-names/snapshots/..%2F..%2Ffull%2Fx.snapshot", "not found"),
        ("/collections/snap-nowhere/snapshots/none.snapshot", "doesn't exist"),
        ("/snapshots/none.snapshot", "Snapshot none.snapshot not found"),
        ("/snapshots/..%2F..%2Faliases.json", "not found"),
    ],
)
def test_unknown_and_traversing_names_are_not_found(place: Place, path: str, text: str) -> None:
    if place.http.get("/collections/snap-names").status_code == 404:
        place.filled("snap-names")
    answer = place.http.get(path)
    place.refused(404, text, (answer.status_code, answer.json()))


def test_an_alias_is_no_way_to_files(place: Place, kept: bytes) -> None:
    place.filled("snap-behind")
    name, _ = place.snapshot("snap-behind")
    alias = {"actions": [{"create_alias": {"collection_name": "snap-behind", "alias_name": "snap-alias"}}]}
    assert place.http.post("/collections/aliases", json=alias).status_code == 200
    answer = place.http.get(f"/collections/snap-alias/snapshots/{name}")
    place.refused(404, "doesn't exist", (answer.status_code, answer.json()))
    place.refused(409, "remove the alias", place.upload("snap-alias", kept))
    place.delete("snap-behind")


def test_names_of_collections_that_cannot_be(place: Place, kept: bytes) -> None:
    code, answer = place.upload("snap-..%2F..%2Fx", kept)
    assert (400 <= code < 500, answer["status"]["error"] != "") == (True, True)


def test_a_damaged_file_is_not_sent_to_its_end(place: Place) -> None:
    place.filled("snap-damaged")
    name, file = place.snapshot("snap-damaged")
    [path] = place.incoming.parent.glob(f"collections/*/{name}")
    path.write_bytes(file[:-1] + bytes([file[-1] ^ 1]))
    with pytest.raises(httpx.RemoteProtocolError):
        place.http.get(f"/collections/snap-damaged/snapshots/{name}")
    place.delete("snap-damaged")


def test_another_checksum_is_refused(place: Place, kept: bytes) -> None:
    place.refused(400, "checksum", place.upload("snap-kept", kept, f"?checksum={'0' * 64}"))
    place.refused(400, "64 hexadecimal", place.upload("snap-kept", kept, "?checksum=0"))
    place.refused(400, "priority", place.upload("snap-kept", kept, "?priority=mine"))
    assert place.http.get("/collections/snap-kept").status_code == 404


@pytest.mark.parametrize("length", [0, 1, 1_000, 200_000, -1, -8])
def test_a_file_that_was_cut_off_is_refused(place: Place, kept: bytes, length: int) -> None:
    place.refused(400, "Wrong input", place.upload("snap-kept", kept[:length]))
    assert place.http.get("/collections/snap-kept").status_code == 404


def test_a_body_that_was_cut_off_is_refused(place: Place, kept: bytes) -> None:
    head = {"content-type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="snapshot"; filename="f"\r\n\r\n' + kept
    for content, text in [(body, "too early"), (b"--y--", "malformed"), (b"", "too early")]:
        answer = place.http.post("/collections/snap-kept/snapshots/upload", content=content, headers=head)
        place.refused(400, text, (answer.status_code, answer.json()))
    answer = place.http.post("/collections/snap-kept/snapshots/upload", content=kept)
    place.refused(400, "multipart/form-data", (answer.status_code, answer.json()))
    place.refused(400, "field `snapshot`", place.upload("snap-kept", kept, field="other"))


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [("snap-other", 403, "keeps its name"), ("snap-open-other", 403, "keeps its name"), ("elsewhere", 403, "policy")],
)
def test_a_protected_collection_is_restored_under_its_own_name(
    place: Place, kept: bytes, name: str, code: int, text: str
) -> None:
    place.refused(code, text, place.upload(name, kept))
    assert name not in place.http.get("/collections").text


def test_a_collection_in_clear_is_not_restored_where_the_policy_protects(place: Place) -> None:
    place.filled("snap-open-clear")
    file = place.snapshot("snap-open-clear")[1]
    place.refused(403, "not made through this proxy", place.upload("snap-clear", file))
    code, answer = place.upload("snap-open-copy", file)
    assert (code, answer["result"]) == (200, True)
    place.delete("snap-open-clear")
    place.delete("snap-open-copy")


def repacked(file: bytes, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """The snapshot with other members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(file)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in old:
            source = old.extractfile(member)
            changed, content = change(member, b"" if source is None else source.read())
            changed.size = len(content)
            new.addfile(changed, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1)


def shard_elsewhere(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, b"../other/shard-0" if content == b"shard-0" else content


def link(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if content == b"shard-0":
        member.type, member.linkname = tarfile.SYMTYPE, "collection.json"
        return member, b""
    return member, content


def outside(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if content == b"shard-0":
        member.name = "../../outside"
    return member, content


def no_record(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, b"{}" if member.name == "collection.json" else content


def altered(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, content.replace(b"vgm1.ey", b"vgm1.ez") if member.name == "collection.json" else content


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (shard_elsewhere, 400, "does not hold"),
        (link, 400, "other than files"),
        (outside, 400, "cannot be read"),
        (no_record, 400, "record"),
        (altered, 500, "could not be opened"),
    ],
)
def test_a_file_that_was_made_up_is_refused(
    place: Place, kept: bytes, change: Callable[..., Any], code: int, text: str
) -> None:
    place.refused(code, text, place.upload("snap-kept", repacked(kept, change)))
    assert place.http.get("/collections/snap-kept").status_code == 404


def test_a_client_that_leaves_leaves_nothing(place: Place, kept: bytes) -> None:
    def half() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="snapshot"; filename="f"\r\n\r\n' + kept[:300_000]
        raise ConnectionAbortedError

    head = {"content-type": "multipart/form-data; boundary=x"}
    with pytest.raises(ConnectionAbortedError):
        place.http.post("/collections/snap-kept/snapshots/upload", content=half(), headers=head)
    place.nothing_left()
    code, answer = place.upload("snap-kept", kept, "?wait=false")
    assert (code, answer["status"]) == (202, "accepted")
    place.delete("snap-kept")


@pytest.mark.parametrize(
    ("location", "code", "text"),
    [
        ("http://127.0.0.1:6333/collections/a/snapshots/b", 400, "fetches no address"),
        ("ftp://example.com/x", 400, "fetches no address"),
        ("file:///qdrant/snapshots/x.snapshot", 501, "send the file to"),
    ],
)
def test_recovery_is_refused_with_what_to_do(place: Place, location: str, code: int, text: str) -> None:
    answer = place.http.put("/collections/snap-kept/snapshots/recover", json={"location": location})
    place.refused(code, text, (answer.status_code, answer.json()))


CALLS = [
    ("GET", "/collections/snap-x/snapshots/x.snapshot"),
    ("GET", "/snapshots/x.snapshot"),
    ("POST", "/collections/snap-x/snapshots/upload"),
    ("PUT", "/collections/snap-x/snapshots/recover"),
]


class Qdrant(q.QdrantServicer):
    """As much of a Qdrant server as a start asks for: like all of them, it has no `vecguard.engine.Snapshots`."""

    def HealthCheck(self, request: q.HealthCheckRequest, context: grpc.ServicerContext) -> q.HealthCheckReply:
        return q.HealthCheckReply(title="qdrant")


class Collections(q.CollectionsServicer):
    """It has no collection."""

    def List(self, request: q.ListCollectionsRequest, context: grpc.ServicerContext) -> q.ListCollectionsResponse:
        return q.ListCollectionsResponse()

    def ListAliases(self, request: q.ListAliasesRequest, context: grpc.ServicerContext) -> q.ListAliasesResponse:
        return q.ListAliasesResponse()


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, httpx.Client]]:
    """A proxy before a database that is not the embedded engine."""
    database = grpc.server(ThreadPoolExecutor(2))
    q.add_QdrantServicer_to_server(Qdrant(), database)
    q.add_CollectionsServicer_to_server(Collections(), database)
    port = database.add_insecure_port("127.0.0.1:0")
    database.start()
    folder = tmp_path_factory.mktemp("remote")
    try:
        with (
            serving_proxy(folder, ADMIN, upstream=f"qdrant://127.0.0.1:{port}", rest=True) as server,
            httpx.Client(base_url=server.url, timeout=60) as http,
        ):
            yield server, http
    finally:
        database.stop(None).wait()


def test_a_database_without_files_is_told_of(remote: tuple[Proxy, httpx.Client]) -> None:
    _, http = remote
    answers = [http.get(path) for method, path in CALLS if method == "GET"]
    answers.append(http.post(CALLS[2][1], files={"snapshot": ("f", b"x" * 2_000_000, OCTETS)}))
    for answer in answers:
        assert answer.status_code == 501, answer.text
        assert "only the embedded engine does" in answer.json()["status"]["error"]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_others_than_administrators_are_refused_and_written_down(
    remote: tuple[Proxy, httpx.Client], method: str, path: str
) -> None:
    """The same proxy after its policy took the action away: an answer comes before the body is read."""
    server, http = remote
    assert server.policy is not None
    server.policy.write_text(NO_ADMIN)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + LEFT_S
    while (answer := http.request(method, path)).status_code != 403 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.status_code == 403
    assert "may not admin" in answer.json()["status"]["error"]
    row = re.sub("snap-x", "{collection_name}", path).replace("x.snapshot", "{snapshot_name}")

    def told() -> set[str]:
        lines = [line for line in server.logs.splitlines() if '"PERMISSION_DENIED"' in line]
        return {json.loads(line)["rpc"] for line in lines}

    until(lambda: f"{method} {row}" in told())  # the trail is written some 50 ms after a call
