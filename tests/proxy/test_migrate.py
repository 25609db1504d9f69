"""`vecguard migrate` on a real engine: what clients see is the same before and after, whatever lies at rest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import grpc as q

from proxy.behind import DIMS, Face, Guarded
from proxy.conftest import POLICY
from proxy.conftest import payload as clear_payload
from proxy.conftest import vectors as clear_vectors
from proxy.test_verify import looked
from vecguard.config import Settings, parse_upstream
from vecguard.errors import AlreadyExists, ConfigError, Denied, FailedPrecondition, InvalidArgument
from vecguard.upkeep.forecast import Forecast, forecast
from vecguard.upkeep.journal import Journal
from vecguard.upkeep.migrate import Migration, Progress
from vecguard.upkeep.plan import Order, planned

COUNT = 250


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def names(place: Guarded, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Gives names of collections for this test alone; they, and what stands behind them, are gone after it."""
    mark = f"{abs(hash(request.node.nodeid)):x}"
    yield lambda kind: f"{kind}-{mark}"
    aliases = place.rest.collections.ListAliases(q.ListAliasesRequest()).aliases
    drop = [q.AliasOperations(delete_alias=q.DeleteAlias(alias_name=a.alias_name)) for a in aliases]
    place.rest.collections.UpdateAliases(q.ChangeAliases(actions=drop))
    for known in place.rest.collections.List(q.ListCollectionsRequest()).collections:
        if mark in known.name:
            place.rest.collections.Delete(q.DeleteCollection(collection_name=known.name))
    place.forget()


def settings_of(place: Guarded, policy: Path) -> Settings:
    address = parse_upstream(f"qdrant://{place.engine.target}")
    return Settings(upstream=(address,), key=f"file:{place.proxy.key_file}", policy=policy)


def make(face: Face, name: str, count: int = COUNT) -> None:
    """A collection with three kinds of vectors, an index and metadata, through a face."""
    ask = q.CreateCollection(collection_name=name)
    ask.vectors_config.params_map.map["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    multi = q.VectorParams(size=DIMS, distance=q.Distance.Dot)
    multi.multivector_config.comparator = q.MultiVectorComparator.MaxSim
    ask.vectors_config.params_map.map["m"].CopyFrom(multi)
    ask.sparse_vectors_config.map["s"].SetInParent()
    ask.metadata["note"].string_value = "ours"
    face.collections.Create(ask)
    index = q.CreateFieldIndexCollection(
        collection_name=name, field_name="tag", field_type=q.FieldType.FieldTypeKeyword, wait=True
    )
    face.points.CreateFieldIndex(index)
    write(face, name, range(1, count + 1))


def write(face: Face, name: str, numbers: range) -> None:
    points = []
    for i in numbers:
        fields = clear_payload(i)
        odd = q.ListValue(values=[q.Value(null_value=q.NullValue.NULL_VALUE), q.Value(double_value=5.0)])
        odd.values.extend([q.Value(integer_value=5), q.Value(struct_value=q.Struct())])
        fields |= {"odd": q.Value(list_value=odd), "none": q.Value(null_value=q.NullValue.NULL_VALUE)}
        point = q.PointStruct(id=q.PointId(num=i), vectors=clear_vectors(i), payload=fields)
        if i % 7 == 0:  # some lack a vector
            del point.vectors.vectors.vectors["s"]
        if i % 5 == 0:
            point.id.CopyFrom(q.PointId(uuid=f"00000000-0000-4000-8000-{i:012d}"))
        points.append(point)
    face.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))


def content(face: Face, name: str) -> dict[str, tuple[str, dict[str, np.ndarray]]]:
    """Everything in a collection as seen at a face: payload as text, vectors, by id."""
    ask = q.ScrollPoints(collection_name=name, limit=10_000)
    ask.with_payload.enable = ask.with_vectors.enable = True
    found = {}
    for point in face.points.Scroll(ask).result:
        held = {}
        for key, vector in point.vectors.vectors.vectors.items():
            rows = [list(row.data) for row in vector.multi_dense.vectors]
            flat = list(vector.dense.data) or rows or [*vector.sparse.indices, *vector.sparse.values]
            held[key] = np.array(flat or list(vector.data), np.float32)
        fields = {key: point.payload[key].SerializeToString(deterministic=True).hex() for key in point.payload}
        found[str(point.id)] = (json.dumps(fields, sort_keys=True), held)
    return found


def assert_same(one: dict[str, tuple[str, dict[str, np.ndarray]]], other: object) -> None:
    assert isinstance(other, dict)
    assert one.keys() == other.keys()
    for key, (fields, held) in one.items():
        assert (fields, held.keys()) == (other[key][0], other[key][1].keys())
        for name, vector in held.items():
            assert np.allclose(vector, other[key][1][name], atol=1e-4), (key, name)


def migrated(
    place: Guarded,
    policy: Path,
    order: Order,
    progress: Progress = lambda what, done, total: None,
) -> Journal:
    async def run() -> Journal:
        async with planned(order, settings_of(place, policy), None, None) as plan:
            return await Migration(plan.source, plan.target, plan.policy, order.state, plan.journal, progress).run()

    journal = asyncio.run(run())
    place.forget()
    return journal


@pytest.mark.slow
def test_clear_to_protected_under_another_name(
    place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path
) -> None:
    source, target = names("open"), names("box")
    make(place.rest, source)
    before = content(place.rest, source)
    journal = migrated(place, policy, Order(source, target, tmp_path / "state"))
    assert (journal.phase, journal.copied, journal.passes, journal.repaired) == ("done", COUNT, 1, 0)
    assert_same(before, content(place.client, target))
    assert_same(before, content(place.rest, source))
    found = looked(place, target)
    assert (found.records, found.bad) == (COUNT, {})
    assert place.stored(target, 1)[0].payload["_p"].struct_value.fields["shut"].string_value.startswith("vg:")
    info = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=target)).result
    assert info.payload_schema["tag"].data_type == q.PayloadSchemaType.Keyword
    assert info.config.metadata["note"].string_value == "ours"


@pytest.mark.slow
def test_clear_to_protected_in_place(place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path) -> None:
    name = names("box")
    make(place.rest, name)
    before = content(place.rest, name)
    journal = migrated(place, policy, Order(name, None, tmp_path / "state"))
    assert "the old collection is deleted" in journal.outcome
    assert_same(before, content(place.client, name))
    write(place.client, name, range(COUNT + 1, COUNT + 2))  # and it goes on
    assert looked(place, name).records == COUNT + 1
    again = migrated(place, policy, Order(name, None, tmp_path / "state"))
    assert (again.phase, again.copied) == ("done", COUNT)


@pytest.mark.parametrize(
    "rule",
    [
        "{recover: sealed}",
        "{recover: sealed, rerank: {candidates: 100}, transforms: [{kind: cells, count: 2}, {kind: rotation}, "
        "{kind: truncate, dims: 5}]}",
    ],
    ids=["sealed", "cells and fewer dimensions"],
)
@pytest.mark.slow
def test_to_another_policy_behind_an_alias(
    place: Guarded, names: Callable[[str], str], tmp_path: Path, rule: str
) -> None:
    """What was made under other rules than the policy now has: the collection that clients are refused."""
    name, alias = names("box"), f"{names('box')}-alias"
    make(place.client, name)
    before = content(place.client, name)
    change = q.ChangeAliases()
    change.actions.add().create_alias.CopyFrom(q.CreateAlias(collection_name=name, alias_name=alias))
    place.client.collections.UpdateAliases(change)
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace('match: "box-*"', f'match: "box-*"\n    vectors: [{rule}]'))
    journal = migrated(place, file, Order(alias, None, tmp_path / "state"))
    assert f"`{name}` is kept" in journal.outcome
    assert looked(place, alias).bad == {}
    assert looked(place, alias).collection == journal.target
    assert_same(before, content(place.client, name))
    file.write_text(POLICY)
    back = migrated(place, file, Order(alias, None, tmp_path / "other"))  # and back again
    assert back.phase == "done"
    assert_same(before, content(place.client, alias))


@pytest.mark.slow
def test_protected_to_clear_needs_words(
    place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path
) -> None:
    source, target = names("box"), names("open")
    make(place.client, source)
    with pytest.raises(FailedPrecondition, match=f"store {source} in clear"):
        migrated(place, policy, Order(source, target, tmp_path / "state"))
    with pytest.raises(FailedPrecondition):
        migrated(place, policy, Order(source, target, tmp_path / "state", "yes"))
    migrated(place, policy, Order(source, target, tmp_path / "state", f"store {source} in clear"))
    assert_same(content(place.client, source), content(place.rest, target))


@pytest.mark.slow
def test_what_is_written_meanwhile_is_caught_up_with(
    place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path
) -> None:
    """A record changed, one added and one deleted, at the end of the first comparison."""
    source, target = names("open"), names("box")
    make(place.rest, source)
    done: list[str] = []

    def meddle(what: str, number: int, total: int) -> None:
        if what == "comparing" and number == total and not done:
            done.append(what)
            write(place.rest, source, range(COUNT + 1, COUNT + 2))
            fields = {"shut": q.Value(string_value="changed")}
            one = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=1)]))
            place.rest.points.SetPayload(
                q.SetPayloadPoints(collection_name=source, payload=fields, points_selector=one, wait=True)
            )
            two = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=2)]))
            place.rest.points.Delete(q.DeletePoints(collection_name=source, points=two, wait=True))

    def change_before(what: str, number: int, total: int) -> None:
        if what == "copying" and number == total:
            fields = {"shut": q.Value(string_value="changed before")}
            three = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=3)]))
            place.rest.points.SetPayload(
                q.SetPayloadPoints(collection_name=source, payload=fields, points_selector=three, wait=True)
            )
        meddle(what, number, total)

    journal = migrated(place, policy, Order(source, target, tmp_path / "state"), change_before)
    assert (journal.phase, journal.repaired > 1) == ("done", True)
    assert_same(content(place.rest, source), content(place.client, target))


def test_writers_that_never_stop(place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path) -> None:
    name = names("box")
    make(place.rest, name, 10)

    def meddle(what: str, number: int, total: int) -> None:
        fields = {"shut": q.Value(double_value=time.monotonic())}
        one = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=1)]))
        place.rest.points.SetPayload(
            q.SetPayloadPoints(collection_name=name, payload=fields, points_selector=one, wait=True)
        )

    order = Order(name, None, tmp_path / "state")
    with pytest.raises(FailedPrecondition, match="stop its writers"):
        migrated(place, policy, order, meddle)
    assert len(content(place.rest, name)) == 10  # nothing was taken over
    assert migrated(place, policy, order).phase == "done"
    assert len(content(place.client, name)) == 10


# Where a run is killed; each is reached by the next run.
POINTS: tuple[Callable[[Journal], bool], ...] = (
    lambda journal: True,  # while it is being made, or soon after
    lambda journal: journal.copied >= 200,
    lambda journal: journal.copied >= 1000,
    lambda journal: journal.phase == "comparing",
)


@pytest.mark.slow
def test_killed_and_run_again(place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path) -> None:
    """kill -9 at whatever point, again and again: nothing is lost, nothing twice."""
    name, state, count = names("box"), tmp_path / "state", 1500
    make(place.rest, name, count)
    before = content(place.rest, name)
    command = [sys.executable, "-m", "vecguard", "migrate", name, "--state", str(state), "--policy", str(policy)]
    command += ["--upstream", f"qdrant://{place.engine.target}", "--key", f"file:{place.proxy.key_file}", "--json"]
    for reached in POINTS:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            while running.poll() is None and not (
                state.exists() and reached(Journal.model_validate_json(state.read_bytes()))
            ):
                time.sleep(0.005)
            assert running.poll() is None, "it ended before it could be killed"
            os.kill(running.pid, signal.SIGKILL)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    place.forget()
    assert_same(before, content(place.client, name))
    assert looked(place, name).records == count


@pytest.mark.parametrize("phase", ["making", "taking over"])
def test_cut_off_between_two_steps(
    place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path, phase: str
) -> None:
    name, state = names("box"), tmp_path / "state"
    make(place.rest, name, 20)
    before = content(place.rest, name)
    journal = Journal(source=name, target=f"{name}-x", in_place=True, aside="")
    if phase == "making":
        place.client.collections.Create(  # without its indexes and points
            q.CreateCollection(
                collection_name=journal.target,
                vectors_config=q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Dot)),
            )
        )
    else:
        migrated(place, policy, Order(name, journal.target, tmp_path / "first"))
        place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
        journal.phase = "taking over"
    state.write_text(journal.model_dump_json())
    migrated(place, policy, Order(name, None, state))
    assert_same(before, content(place.client, name))


def test_what_is_refused(place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path) -> None:
    source, state = names("open"), tmp_path / "state"
    make(place.rest, source, 3)
    make(place.rest, names("box"), 3)
    with pytest.raises(AlreadyExists):
        migrated(place, policy, Order(source, names("box"), state))
    with pytest.raises(Denied, match="no entry"):
        migrated(place, policy, Order(source, names("unknown"), state))
    policy.write_text(POLICY.replace('match: "open-*"', f'match: "{source}"\n    protect: none\n  - match: "open-*"'))
    with pytest.raises(FailedPrecondition, match="differently"):
        migrated(place, policy, Order(source, None, state))
    policy.write_text(POLICY)
    with pytest.raises(InvalidArgument, match="mode is sealed"):  # its index cannot be made: all of it or nothing
        migrated(place, policy, Order(source, names("kept"), state))
    assert names("kept") not in {c.name for c in place.rest.collections.List(q.ListCollectionsRequest()).collections}
    state.write_text(Journal(source="other", target="x", in_place=False, aside="").model_dump_json())
    with pytest.raises(ConfigError, match="migration of `other`"):
        migrated(place, policy, Order(source, names("box"), state))
    state.write_text("{}")
    with pytest.raises(ConfigError, match="no journal"):
        migrated(place, policy, Order(source, names("box"), state))


def test_a_dry_run_writes_nothing(place: Guarded, names: Callable[[str], str], policy: Path, tmp_path: Path) -> None:
    source, state = names("open"), tmp_path / "state"
    make(place.rest, source)
    listed = {known.name for known in place.rest.collections.List(q.ListCollectionsRequest()).collections}

    async def look() -> Forecast:
        async with planned(Order(source, names("box"), state), settings_of(place, policy), None, None) as plan:
            return await forecast(plan.source, plan.target, plan.policy)

    found = asyncio.run(look())
    assert found.records == COUNT
    assert found.stored > found.clear > 0
    assert set(found.recall) == {"d"}
    assert found.recall["d"].at_10 > 0.9
    assert not state.exists()
    assert listed == {known.name for known in place.rest.collections.List(q.ListCollectionsRequest()).collections}
