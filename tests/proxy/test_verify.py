"""`vecguard verify` against a real engine: every kind of damage is found, named, and blamed on the right point."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import grpc as q

from proxy.behind import DIMS, Guarded
from proxy.conftest import payload as clear_payload
from proxy.conftest import vectors as clear_vectors
from proxy.test_damaged_records import PAYLOAD_DAMAGE, VECTOR_DAMAGE, Record, at, put, record
from vecguard.config import Settings, parse_upstream
from vecguard.errors import ConfigError, FailedPrecondition, UpstreamFailure
from vecguard.upkeep.access import open_database
from vecguard.upkeep.verify import Verification, verify


def looked(place: Guarded, collection: str, ledger: Path | None = None) -> Verification:
    settings = Settings(
        upstream=(parse_upstream(f"qdrant://{place.engine.target}"),), key=f"file:{place.proxy.key_file}"
    )

    async def look() -> Verification:
        async with open_database(settings) as database:
            return await verify(database, collection, ledger)

    return asyncio.run(look())


def both(place: Guarded, collection: str) -> tuple[Record, Record]:
    return record(place, collection, 1), record(place, collection, 2)


def write(place: Guarded, collection: str, *numbers: int) -> None:
    points = [q.PointStruct(id=q.PointId(num=i), vectors=clear_vectors(i), payload=clear_payload(i)) for i in numbers]
    place.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=points, wait=True))


def test_a_whole_collection_opens(place: Guarded, collection: str) -> None:
    write(place, collection, *range(3, 250))  # three pages
    found = looked(place, collection)
    assert (found.records, found.bad, found.alarming(unchanged=False)) == (249, {}, False)


@pytest.mark.slow
def test_every_damage_is_found_and_named(place: Guarded, collection: str) -> None:
    """The same cases that a client's calls are tested with."""
    sound = both(place, collection)
    cases = {**{name: damage for name, (_, damage) in VECTOR_DAMAGE.items()}, **PAYLOAD_DAMAGE}
    for name, damage in cases.items():
        put(place, collection, 1, damage(*copy.deepcopy(sound)))
        found = looked(place, collection)
        assert list(found.bad) == ["1"], name
        assert found.alarming(unchanged=False)
        words = " ".join(found.bad["1"])
        assert ("payload" in words) == (name in PAYLOAD_DAMAGE), (name, words)
    put(place, collection, 1, sound[0])
    assert looked(place, collection).bad == {}


def test_the_faulty_parts_are_told_apart(place: Guarded, collection: str) -> None:
    one, two = both(place, collection)
    at(one[0], "note").CopyFrom(at(two[0], "note"))
    one[1]["m"].CopyFrom(two[1]["m"])
    one[0]["extra"] = q.Value(string_value="left here")
    put(place, collection, 1, one)
    faults = looked(place, collection).bad["1"]
    assert set(faults) == {"payload field `note`", "vector `m`", "stored field `extra` unknown"}


def test_a_record_of_another_collection(place: Guarded, collection: str) -> None:
    other = f"{collection}-other"
    ask = q.CreateCollection(collection_name=other)
    ask.vectors_config.params_map.map["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    place.client.collections.Create(ask)
    try:
        only = q.NamedVectors(vectors={"d": clear_vectors(1).vectors.vectors["d"]})
        point = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vectors=only))
        place.client.points.Upsert(q.UpsertPoints(collection_name=other, points=[point], wait=True))
        put(place, collection, 1, record(place, other, 1))
        assert looked(place, collection).bad == {"1": ("record of another collection",)}
    finally:
        place.client.collections.Delete(q.DeleteCollection(collection_name=other))


class TestLedger:
    """What one look cannot find, and two can."""

    def test_nothing_happened(self, place: Guarded, collection: str, tmp_path: Path) -> None:
        file = tmp_path / "ledger"
        first = looked(place, collection, file)
        assert (first.since, first.alarming(unchanged=True)) == (None, False)
        second = looked(place, collection, file)
        assert second.since is not None
        assert second.changes is not None
        assert second.changes.none

    def test_what_clients_do_is_no_alarm_unless_nothing_was_to_be_written(
        self, place: Guarded, collection: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "ledger"
        looked(place, collection, file)
        write(place, collection, 1, 3)
        gone = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=2)]))
        place.client.points.Delete(q.DeletePoints(collection_name=collection, points=gone, wait=True))
        found = looked(place, collection, file)
        assert found.changes is not None
        assert vars(found.changes) == {"changed": ["1"], "added": ["3"], "removed": ["2"], "returned": []}
        assert not found.alarming(unchanged=False)
        assert found.alarming(unchanged=True)

    def test_a_record_that_was_rolled_back(self, place: Guarded, collection: str, tmp_path: Path) -> None:
        """Old vectors, entries and payload of the same point, put back together: authentic, and yet found."""
        file = tmp_path / "ledger"
        looked(place, collection, file)
        old = record(place, collection, 1)
        write(place, collection, 1)
        looked(place, collection, file)
        put(place, collection, 1, old)
        found = looked(place, collection, file)
        assert found.bad == {}
        assert found.changes is not None
        assert found.changes.returned == ["1"]
        assert found.alarming(unchanged=False)

    @pytest.mark.parametrize("damage", ["token", "field", "vector"])
    def test_parts_that_no_authentication_binds(
        self, place: Guarded, collection: str, tmp_path: Path, damage: str
    ) -> None:
        """A searchable value of another record, a field left out, a vector removed."""
        file = tmp_path / "ledger"
        looked(place, collection, file)
        one, two = both(place, collection)
        if damage == "token":
            at(one[0], "tag").CopyFrom(at(two[0], "tag"))
        elif damage == "field":
            del one[0]["_p"].struct_value.fields["note"]
        else:
            del one[1]["s"]
        put(place, collection, 1, one)
        found = looked(place, collection, file)
        assert found.bad == {}
        assert found.changes is not None
        assert found.changes.changed == ["1"]
        assert found.alarming(unchanged=True)

    def test_it_stays_as_it_was_where_records_do_not_open(
        self, place: Guarded, collection: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "ledger"
        looked(place, collection, file)
        before = file.read_text()
        put(place, collection, 1, PAYLOAD_DAMAGE["token altered"](*both(place, collection)))
        assert looked(place, collection, file).bad
        assert file.read_text() == before

    @pytest.mark.parametrize("damage", ["digest", "line", "tag", "truncated", "no JSON"])
    def test_a_ledger_that_was_altered_is_refused(
        self, place: Guarded, collection: str, tmp_path: Path, damage: str
    ) -> None:
        file = tmp_path / "ledger"
        looked(place, collection, file)
        lines = file.read_text().splitlines()
        changed = {
            "digest": [lines[0], lines[1].replace('"1","', '"1","A'), *lines[2:]],
            "line": [lines[0], *lines[2:]],
            "tag": [*lines[:-1], "A" + lines[-1]],
            "truncated": lines[:-1],
            "no JSON": [lines[0], "{", *lines[2:]],
        }
        file.write_text("\n".join(changed[damage]) + "\n")
        with pytest.raises(ConfigError, match="damaged"):
            looked(place, collection, file)

    def test_a_ledger_of_another_collection_is_refused(self, place: Guarded, collection: str, tmp_path: Path) -> None:
        file = tmp_path / "ledger"
        looked(place, collection, file)
        file.write_text(file.read_text().replace('"uuid":"', '"uuid":"00', 1))
        with pytest.raises(ConfigError, match="another collection"):
            looked(place, collection, file)


def test_what_cannot_be_verified(place: Guarded) -> None:
    with pytest.raises(UpstreamFailure):
        looked(place, "box-nowhere")
    place.client.collections.Create(
        q.CreateCollection(
            collection_name="open-look",
            vectors_config=q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine)),
        )
    )
    try:
        with pytest.raises(FailedPrecondition, match="in clear"):
            looked(place, "open-look")
    finally:
        place.client.collections.Delete(q.DeleteCollection(collection_name="open-look"))


@pytest.mark.slow
def test_the_command(place: Guarded, collection: str) -> None:
    command = [sys.executable, "-m", "vecguard", "verify", collection, "--upstream", f"qdrant://{place.engine.target}"]
    command += ["--key", f"file:{place.proxy.key_file}", "--json"]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, json.loads(good.stdout)["records"]) == (0, 2), good.stderr
    put(place, collection, 1, PAYLOAD_DAMAGE["token altered"](*both(place, collection)))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["bad"] == {"1": ["payload field `tag`"]}
    command[-2] = "file:/nowhere/key"
    lost = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lost.returncode == 1
    assert "does not exist" in lost.stderr
