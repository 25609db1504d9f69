"""KEK rotation touches wrapped keys alone; a crypto-shred leaves nothing that anybody could read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import Guarded, guarded, refusal
from proxy.conftest import POLICY, create, payload, vectors
from vecguard.catalog import MAX_AGE_S
from vecguard.errors import Shredded
from vecguard.front.qdrant import metadata as meta
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import open_core
from vecguard.tombstone import is_shredded, read_tombstone

pytestmark = pytest.mark.slow

NAME = "box-vault"


@pytest.fixture
def held(engine: Server, tmp_path: Path) -> Guarded:
    with guarded(engine, tmp_path, POLICY) as place:
        create(place, NAME)
        yield place
        place.rest.collections.Delete(q.DeleteCollection(collection_name=NAME))


def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vecguard", "keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def trail(file: Path, key: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vecguard", "trail", "verify", str(file), "--key", f"file:{key}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def scroll(place: Guarded) -> list[q.RetrievedPoint]:
    ask = q.ScrollPoints(collection_name=NAME)
    ask.with_payload.enable = ask.with_vectors.enable = True
    return list(place.client.points.Scroll(ask).result)


def test_rewrapping_changes_the_core_alone(engine: Server, held: Guarded, tmp_path: Path) -> None:
    old, new = tmp_path / "vecguard.key", tmp_path / "new.key"
    FileKeyProvider.create(str(new), {})
    upstream = ("--upstream", f"qdrant://{engine.target}")
    before, points, stored = held.metadata(NAME), scroll(held), held.stored(NAME, 1, 2)
    done = keys("rewrap", "--from", f"file:{old}", "--to", f"file:{new}", *upstream)
    assert f"qdrant {NAME}: rewrapped" in done.stdout, done.stderr
    after = held.metadata(NAME)
    assert {key for key in after if after[key] != before[key]} == {meta.CORE}
    assert held.stored(NAME, 1, 2) == stored
    manifest, ring = open_core(after[meta.CORE], FileKeyProvider(new))
    same, earlier = open_core(before[meta.CORE], FileKeyProvider(old))
    assert (ring.same_keys(earlier), manifest.uuid, manifest.epochs == same.epochs) == (True, same.uuid, False)
    # What was done is left as it is, and a proxy that knows both keys reads on; the old one alone opens nothing.
    again = keys("rewrap", "--from", f"file:{old}", "--to", f"file:{new}", *upstream)
    assert f"qdrant {NAME}: already" in again.stdout
    config = tmp_path / "both"
    with guarded(engine, config, POLICY, new) as other:
        assert scroll(other) == points
    wrong = keys("rewrap", "--from", f"file:{old}", "--to", f"file:{old}", *upstream)
    assert (wrong.returncode, f"{NAME}: unreadable" in wrong.stdout) == (1, True)


def test_a_former_key_is_asked_for_what_the_new_one_does_not_open(
    engine: Server, held: Guarded, tmp_path: Path
) -> None:
    new = tmp_path / "new.key"
    FileKeyProvider.create(str(new), {})
    points = scroll(held)
    config = tmp_path / "config.yaml"
    config.write_text(f"former_keys: ['file:{tmp_path / 'vecguard.key'}']\n")
    from serving import serving_proxy

    from proxy.behind import Face

    upstream, more = f"qdrant://{engine.target}", ("--config", str(config))
    policy = POLICY
    with serving_proxy(tmp_path / "other", policy, upstream=upstream, key_file=new, arguments=more) as proxy:
        face = Face(proxy.target)
        ask = q.ScrollPoints(collection_name=NAME)
        ask.with_payload.enable = ask.with_vectors.enable = True
        assert list(face.points.Scroll(ask).result) == points
        face.channel.close()


def require_told(folder: Path, proof: dict[str, Any]) -> None:
    """The trail has what was printed, after the announcement of it, in a chain that verifies; altered, it does not."""
    (file,) = (folder / "trail").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    told = [line["event"] for line in lines]
    assert [event["event"] for event in told] == [
        "journal opened", "keys shred begun", "keys shredded", "journal closed",
    ]  # fmt: skip
    place = proof.pop("trail")
    assert place == {"file": file.name, "seq": 2, "mac": lines[2]["mac"]}
    assert {key: told[2][key] for key in proof} == proof
    assert f"(uid {os.getuid()})" in told[2]["operator"]
    found = trail(file, folder / "vecguard.key")
    assert (found.returncode, f"line 2: keys destroyed of {NAME}, uuid {proof['uuid']}" in found.stdout) == (0, True)
    file.write_bytes(file.read_bytes().replace(proof["uuid"].encode(), b"0" * 36))
    assert trail(file, folder / "vecguard.key").returncode == 1


def test_what_is_shredded_is_gone_for_everybody(engine: Server, held: Guarded, tmp_path: Path) -> None:
    other = f"{NAME}-other"
    create(held, other)
    assert len(scroll(held)) == 2
    core = held.metadata(NAME)[meta.CORE]
    common = ("--upstream", f"qdrant://{engine.target}", "--key", f"file:{tmp_path / 'vecguard.key'}")
    unconfirmed = keys("shred", NAME, "--confirm", "another", *common)
    assert (unconfirmed.returncode, held.metadata(NAME)[meta.CORE]) == (1, core)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"trail_folder: {tmp_path / 'trail'}\n")
    blocked = tmp_path / "blocked.yaml"
    (tmp_path / "file").write_text("")
    blocked.write_text(f"trail_folder: {tmp_path / 'file' / 'trail'}\n")
    untold = keys("shred", NAME, "--confirm", NAME, "--config", str(blocked), *common)
    assert (untold.returncode, "trail folder" in untold.stderr, held.metadata(NAME)[meta.CORE]) == (1, True, core)
    done = keys("shred", NAME, "--confirm", NAME, "--config", str(settings), *common)
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)
    manifest, _ = open_core(core, FileKeyProvider(tmp_path / "vecguard.key"))
    assert (proof["event"], proof["collection"], proof["uuid"]) == ("keys shredded", NAME, str(manifest.uuid))
    assert (proof["epochs"], proof["key_id"]) == ([1], FileKeyProvider(tmp_path / "vecguard.key").key_id)
    assert proof["wrapped"] == {"1": hashlib.sha256(manifest.epochs[1].encode()).hexdigest()}
    after = hashlib.sha256(held.metadata(NAME)[meta.CORE].encode()).hexdigest()
    assert (proof["before"], proof["after"]) == (hashlib.sha256(core.encode()).hexdigest(), after)
    require_told(tmp_path, proof)
    time.sleep(MAX_AGE_S + 0.2)
    gone = grpc.StatusCode.FAILED_PRECONDITION, Shredded.TEXT
    point = q.PointStruct(id=q.PointId(num=9), vectors=vectors(9), payload=payload(9))
    for call in (
        lambda: scroll(held),
        lambda: held.client.points.Upsert(q.UpsertPoints(collection_name=NAME, points=[point])),
        lambda: held.client.points.Count(q.CountPoints(collection_name=NAME)),
        lambda: held.client.collections.Get(q.GetCollectionInfoRequest(collection_name=NAME)),
    ):
        assert refusal(call) == gone
    at_rest = held.metadata(NAME)
    assert is_shredded(at_rest[meta.CORE])
    assert read_tombstone(at_rest[meta.CORE]).uuid == manifest.uuid
    assert not any(text in value for text in manifest.epochs.values() for value in at_rest.values())
    twice = keys("shred", NAME, "--confirm", NAME, *common)
    assert (twice.returncode, "were destroyed" in twice.stderr) == (1, True)
    # The others are as they were, and the collection can be deleted and made anew.
    ask = q.ScrollPoints(collection_name=other)
    assert len(held.client.points.Scroll(ask).result) == 2
    held.client.collections.Delete(q.DeleteCollection(collection_name=NAME))
    create(held, NAME)
    assert len(scroll(held)) == 2
    held.client.collections.Delete(q.DeleteCollection(collection_name=other))
