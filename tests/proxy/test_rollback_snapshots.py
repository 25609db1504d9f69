"""Snapshots of collections with `rollback: detect`: one that comes back is not served until an operator took it as it
is, or its records are told, and nothing else about snapshots disturbs reads."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import grpc as q
from serving import Proxy, serving_proxy
from typer.testing import CliRunner

from proxy.behind import Face, refusal
from proxy.test_rollback import PAST_S
from vecguard.cli import app

pytestmark = pytest.mark.slow

POLICY = """
version: 1
access:
  anonymous: [read, write, admin]
collections:
  - match: "snap-*"
    integrity: {rollback: detect}
    payload: {default: sealed, fields: {tag: searchable}}
"""
_names = itertools.count()


class Place:
    """A proxy before an embedded engine, over REST, and the engine itself."""

    def __init__(self, proxy: Proxy, http: httpx.Client, face: Face, client: Face) -> None:
        self.proxy, self.http, self.face, self.client = proxy, http, face, client

    def write(self, name: str, *numbers: int, text: str = "first") -> None:
        points = [{"id": i, "vector": [i, -0.5, 0.125], "payload": {"tag": "a", "n": text}} for i in numbers]
        assert self.http.put(f"/collections/{name}/points?wait=true", json={"points": points}).status_code == 200

    def made(self, name: str) -> None:
        """A collection with three points."""
        create = {"vectors": {"size": 3, "distance": "Cosine"}}
        assert self.http.put(f"/collections/{name}", json=create).status_code == 200
        self.write(name, 1, 2, 3)

    def search(self, name: str) -> httpx.Response:
        query = {"query": [1, 0.5, 0.25], "with_payload": True, "with_vector": True, "limit": 10}
        return self.http.post(f"/collections/{name}/points/query", json=query)

    def read(self, name: str) -> dict[int, str]:
        """What a search and a scroll find: a text by id."""
        answer = self.search(name)
        assert answer.status_code == 200, answer.text
        found = {point["id"]: point["payload"]["n"] for point in answer.json()["result"]["points"]}
        scrolled = self.http.post(f"/collections/{name}/points/scroll", json={"with_payload": True})
        assert {point["id"]: point["payload"]["n"] for point in scrolled.json()["result"]["points"]} == found
        return found

    def snapshot(self, name: str) -> bytes:
        made = self.http.post(f"/collections/{name}/snapshots").json()["result"]
        return self.http.get(f"/collections/{name}/snapshots/{made['name']}").content

    def delete(self, name: str) -> None:
        assert self.http.delete(f"/collections/{name}").json()["result"] is True

    def upload(self, name: str, file: bytes, query: str = "") -> httpx.Response:
        return self.http.post(f"/collections/{name}/snapshots/upload{query}", files={"snapshot": ("f", file)})

    def refused(self, name: str) -> None:
        """Reads and writes are refused, with what an operator can do."""
        points = {"points": [{"id": 1, "vector": [1, 1, 1]}]}
        for answer in (self.search(name), self.http.put(f"/collections/{name}/points", json=points)):
            assert 400 <= answer.status_code < 500, answer.text
            assert f"vecguard verify {name} --adopt" in answer.json()["status"]["error"]

    def command(self, *arguments: str) -> Any:
        """`vecguard` as an operator calls it."""
        folder = self.proxy.data.parent
        given = ["--config", str(folder / "settings.yaml"), "--key", f"file:{self.proxy.key_file}"]
        return CliRunner().invoke(app, [*arguments, *given, "--upstream", f"embedded:{self.proxy.data}"])

    def restored_behind(self, name: str, file: bytes) -> None:
        """Have the engine put a snapshot in the collection's place, behind the proxy."""
        self.face.collections.Delete(q.DeleteCollection(collection_name=name))
        restore = self.face.channel.stream_stream("/vecguard.engine.Snapshots/Restore")
        confirmed = json.dumps({"restore": True}).encode()
        answers = list(restore(iter([json.dumps({"collection": name}).encode(), file, b"", confirmed])))
        assert json.loads(answers[-1]) == {"restored": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("snapshots")
    settings = folder / "settings.yaml"
    settings.write_text(f"workers: 1\nrollback_memory: {folder / 'memory' / 'newest.db'}\n")
    (folder / "memory").mkdir()
    with serving_proxy(folder, POLICY, rest=True, arguments=("--config", str(settings))) as proxy:
        faces = Face(proxy.engine_target), Face(proxy.target)
        with httpx.Client(base_url=proxy.url, timeout=60) as http, faces[0].channel, faces[1].channel:
            yield Place(proxy, http, *faces)


@pytest.fixture
def name(place: Place) -> Iterator[str]:
    name = f"snap-{next(_names)}"
    place.made(name)
    yield name
    place.http.delete(f"/collections/{name}")


FIRST = {1: "first", 2: "first", 3: "first"}


def test_making_and_sending_snapshots_changes_nothing(place: Place, name: str) -> None:
    file = place.snapshot(name)
    assert place.client.snapshots.List(q.ListSnapshotsRequest(collection_name=name)).snapshot_descriptions
    place.client.snapshots.Create(q.CreateSnapshotRequest(collection_name=name))
    place.client.snapshots.CreateFull(q.CreateFullSnapshotRequest())
    place.write(name, 1, text="second")
    assert place.read(name) == {**FIRST, 1: "second"}
    answer = place.upload(name, file)  # it is there, so nothing is put back, and nothing forgotten
    assert (answer.status_code, "delete this one first" in answer.text) == (409, True)
    assert place.read(name) == {**FIRST, 1: "second"}


def test_one_that_comes_back_has_to_be_taken_by_an_operator(place: Place, name: str) -> None:
    """Whatever it holds, what was the newest when it was deleted, too: it is older than the deletion."""
    older = place.snapshot(name)
    place.write(name, 1, text="second")
    newest = place.snapshot(name)
    for file, found in ((newest, {**FIRST, 1: "second"}), (older, FIRST)):
        place.delete(name)
        assert place.upload(name, file[:-8]).status_code == 400  # not whole: nothing is made
        assert place.search(name).status_code == 404
        assert place.upload(name, file).status_code == 200
        place.refused(name)
        done = place.command("keys", "rotate", name)
        assert (done.exit_code, f"verify {name} --adopt" in done.output) == (1, True)
        done = place.command("verify", name, "--adopt")
        assert (done.exit_code, f"3 records of `{name}` are the newest" in done.output) == (0, True), done.output
        assert place.read(name) == found
    place.write(name, 2, text="third")
    assert place.read(name) == {**FIRST, 2: "third"}
    time.sleep(PAST_S)
    place.restored_behind(name, older)
    told(place, name, "2")


def told(place: Place, name: str, *ids: str) -> None:
    """Reads that meet what is not the newest fail, others go on, and `verify` says which records these are."""
    assert (place.search(name).status_code, "could not be opened" in place.search(name).text) == (500, True)
    for number in range(1, 4):
        answer = place.http.post(f"/collections/{name}/points", json={"ids": [number], "with_payload": True})
        assert answer.status_code == (500 if str(number) in ids else 200), answer.text
    done = place.command("verify", name, "--json")
    assert (done.exit_code, json.loads(done.stdout)["bad"]) == (2, {one: ["not the newest"] for one in ids})


def test_one_that_comes_back_behind_the_proxy_is_told(place: Place, name: str) -> None:
    """Record by record, as anything that somebody put back, until an operator takes it."""
    older = place.snapshot(name)
    place.write(name, 1, text="second")
    place.http.post(f"/collections/{name}/points/delete?wait=true", json={"points": [3]})
    assert place.read(name) == {1: "second", 2: "first"}
    time.sleep(PAST_S)
    place.restored_behind(name, older)
    told(place, name, "1", "3")
    assert place.command("verify", name, "--adopt").exit_code == 0
    assert place.read(name) == FIRST


def test_nothing_is_restored_while_the_memory_is_away(place: Place, name: str) -> None:
    """What is in it would vouch for the records that come back."""
    file, memory = place.snapshot(name), place.proxy.data.parent / "memory"
    place.delete(name)
    memory.rename(memory.with_name("away"))
    try:
        assert place.upload(name, file).status_code == 503
    finally:
        memory.with_name("away").rename(memory)
    assert place.search(name).status_code == 404
    assert place.upload(name, file).status_code == 200
    place.refused(name)


def test_other_ways_are_refused(place: Place, name: str) -> None:
    """Recovery over REST, and the engine's own service through the proxy."""
    for location, code in (("file:///x.snapshot", 501), ("http://127.0.0.1:1/x.snapshot", 400)):
        answer = place.http.put(f"/collections/{name}/snapshots/recover", json={"location": location})
        assert answer.status_code == code, answer.text
    for path in ("shards/0/snapshots/recover", "shards/0/snapshots/upload"):
        call = place.http.put if path.endswith("recover") else place.http.post
        assert call(f"/collections/{name}/{path}", json={"location": "file:///x"}).status_code >= 400
    for service in (
        "/vecguard.engine.Snapshots/Restore",
        "/qdrant.Snapshots/Recover",
        "/qdrant.ShardSnapshots/Recover",
    ):
        code, _ = refusal(lambda service=service: place.client.raw(service, b"{}"))  # type: ignore[misc]
        assert code == grpc.StatusCode.UNIMPLEMENTED, service
    assert place.read(name) == FIRST
