"""`vecguard migrate` into and out of collections with `rollback: detect`: what is newest is known from the
beginning, and no older record is carried over as good."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from qdrant_client import grpc as q
from serving import Server
from typer.testing import CliRunner

from proxy.behind import Guarded, refusal
from proxy.processes import until
from proxy.test_migrate import assert_same, content, make, write
from proxy.test_rollback import Replica, at_rest, put_back, raw
from vecguard.cli import app
from vecguard.config import Settings, load_settings
from vecguard.errors import Unreadable
from vecguard.keys.file import FileKeyProvider
from vecguard.upkeep.journal import Journal
from vecguard.upkeep.migrate import Migration, Progress
from vecguard.upkeep.plan import Order, planned

POLICY = """
version: 1
collections:
  - match: "open-*"
    protect: none
  - match: "late-*"
    payload: &modes {default: sealed, fields: {open: plain, tag: searchable, meta.open: plain, meta.tag: searchable}}
  - match: "box-*"
    integrity: {rollback: detect}
    payload: *modes
  - match: "hidden-*"
    integrity: {rollback: detect}
    ids: plain
    payload:
      default: sealed
      fields: {open: plain, tag: searchable, meta.open: plain, meta.tag: searchable}
      hash_names: true
"""
DETECTING = POLICY.replace('match: "late-*"', 'match: "late-*"\n    integrity: {rollback: detect}')
COUNT = 20


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("migrating")
    settings, key = folder / "settings.yaml", folder / "shared.key"
    settings.write_text(f"workers: 1\nrollback_memory: {folder / 'newest.db'}\n")
    FileKeyProvider.create(str(key), {})
    with Replica(engine, folder / "proxy", settings, key, POLICY) as running:
        yield running


@pytest.fixture
def names(place: Guarded, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Gives names of collections for this test alone; they, and what stands behind them, are gone after it."""
    mark = f"{abs(hash(request.node.nodeid)):x}"
    yield lambda kind: f"{kind}-{mark}"
    listed = place.rest.collections.ListAliases(q.ListAliasesRequest()).aliases
    drop = [q.AliasOperations(delete_alias=q.DeleteAlias(alias_name=a.alias_name)) for a in listed]
    place.rest.collections.UpdateAliases(q.ChangeAliases(actions=drop))
    for known in place.rest.collections.List(q.ListCollectionsRequest()).collections:
        if mark in known.name:
            place.rest.collections.Delete(q.DeleteCollection(collection_name=known.name))
    place.forget()


@pytest.fixture
def detecting(place: Guarded) -> Iterator[Guarded]:
    """The proxy, whose policy comes to ask for it for `late-*`, too."""
    ruled(place, DETECTING)
    yield place
    ruled(place, POLICY)


def ruled(place: Guarded, text: str) -> None:
    """Put another policy in force."""
    known = place.proxy.logs.count("policy reloaded")
    policy(place).write_text(text)
    place.proxy.process.send_signal(signal.SIGHUP)
    until(lambda: place.proxy.logs.count("policy reloaded") > known)


def policy(place: Guarded) -> Path:
    assert place.proxy.policy is not None
    return place.proxy.policy


def options(place: Guarded) -> list[str]:
    given = ["--config", str(file(place)), "--key", f"file:{place.proxy.key_file}"]
    return [*given, "--upstream", f"qdrant://{place.engine.target}"]


def file(place: Guarded) -> Path:
    return place.proxy.data.parent.parent / "settings.yaml"


def settings_of(place: Guarded) -> Settings:
    given = {
        "upstream": f"qdrant://{place.engine.target}",
        "key": f"file:{place.proxy.key_file}",
        "policy": str(policy(place)),
    }
    return load_settings(file(place), given)


def migrated(place: Guarded, order: Order, progress: Progress = lambda what, done, total: None) -> Journal:
    async def run() -> Journal:
        async with planned(order, settings_of(place), None, None) as plan:
            return await Migration(plan.source, plan.target, plan.policy, order.state, plan.journal, progress).run()

    journal = asyncio.run(run())
    place.forget()
    return journal


def verified(place: Guarded, name: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["verify", name, "--json", *options(place)])
    assert done.exit_code in (0, 2), (done.output, done.exception)
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.exit_code == 0) == (report["bad"] == {})
    return report


def judged(place: Guarded, name: str) -> None:
    """Everything of a collection is the newest, and an older version that is put back is told, also by `verify`."""
    count = len(content(place.client, name))
    report = verified(place, name)
    assert (report["records"], report["bad"], report["missing"]) == (count, {}, 0)
    real = report["collection"]
    before = at_rest(place, real)
    assert before
    write(place.client, name, range(1, 3))
    content(place.client, name)
    after = at_rest(place, real)
    put_back(place, real, before)
    ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=1)])
    for read in (lambda: content(place.client, name), lambda: place.client.points.Get(ask)):
        assert refusal(read)[0] == grpc.StatusCode.DATA_LOSS
    assert verified(place, name)["bad"] == {"1": ["not the newest"], "2": ["not the newest"]}
    for number in (1, 2):
        place.put(real, number, *raw(after[number]))
    assert len(content(place.client, name)) == count


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["open", "late"])
def test_under_another_name(place: Guarded, names: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """From a collection in clear, and from one that is protected without it."""
    source, target = names(kind), names("box")
    face = place.rest if kind == "open" else place.client
    make(face, source, COUNT)
    before = content(face, source)
    journal = migrated(place, Order(source, target, tmp_path / "state"))
    assert (journal.phase, journal.repaired) == ("done", 0)
    assert_same(before, content(place.client, target))
    judged(place, target)


@pytest.mark.slow
def test_names_hidden(place: Guarded, names: Callable[[str], str], tmp_path: Path) -> None:
    source, target = names("late"), names("hidden")
    make(place.client, source, COUNT)
    migrated(place, Order(source, target, tmp_path / "state"))
    assert_same(content(place.client, source), content(place.client, target))
    judged(place, target)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clear", "protected"])
def test_in_place(detecting: Guarded, names: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """A collection that the policy has come to protect, or to detect for: until then its calls are refused."""
    place, name = detecting, names("late")
    if kind == "clear":
        make(place.rest, name, COUNT)
    else:
        ruled(place, POLICY)
        make(place.client, name, COUNT)
        ruled(place, DETECTING)
    before = at_rest(place, name).keys()
    assert refusal(lambda: content(place.client, name))[0] == grpc.StatusCode.FAILED_PRECONDITION
    journal = migrated(place, Order(name, None, tmp_path / "state"))
    assert "the old collection is deleted" in journal.outcome
    assert at_rest(place, name).keys() == before
    judged(place, name)


@pytest.mark.slow
@pytest.mark.parametrize("into", ["late", "open", "box"])
def test_out_of_one(place: Guarded, names: Callable[[str], str], tmp_path: Path, into: str) -> None:
    """Into one without it, in clear, or with it again; an older record is not carried over as good."""
    source, target = names("box"), f"{names(into)}-new"
    make(place.client, source, COUNT)
    first = at_rest(place, source)
    write(place.client, source, range(1, 3))
    newest, after = content(place.client, source), at_rest(place, source)
    order = Order(source, target, tmp_path / "state", f"store {source} in clear")
    put_back(place, source, first)
    with pytest.raises(Unreadable):
        migrated(place, order)
    for number in (1, 2):
        place.put(source, number, *raw(after[number]))
    assert migrated(place, order).phase == "done"
    assert_same(newest, content(place.rest if into == "open" else place.client, target))
    if into == "box":
        judged(place, target)
    judged(place, source)


@pytest.mark.slow
def test_a_record_that_is_put_back_during_the_comparison(
    place: Guarded, names: Callable[[str], str], tmp_path: Path
) -> None:
    """In the new collection: nothing is taken over until it is written anew."""
    source, target = names("open"), names("box")
    make(place.rest, source, COUNT)
    done: list[str] = []

    def meddle(what: str, number: int, total: int) -> None:
        if what == "copying" and number == total and not done:
            done.append(what)
            before = at_rest(place, target)
            write(place.client, target, range(1, 2))
            put_back(place, target, before)

    order = Order(source, target, tmp_path / "state")
    with pytest.raises(Unreadable):
        migrated(place, order, meddle)
    write(place.client, target, range(1, 2))
    assert migrated(place, order).phase == "done"
    assert_same(content(place.rest, source), content(place.client, target))


def places(place: Guarded) -> int:
    """How many collections are remembered."""
    with sqlite3.connect(file(place).with_name("newest.db")) as held:
        found: int = held.execute("SELECT count(DISTINCT place) FROM logs").fetchone()[0]
    return found


@pytest.mark.slow
def test_the_old_collection_is_forgotten(place: Guarded, names: Callable[[str], str], tmp_path: Path) -> None:
    """In place, from one with it to one with it: the memory holds the new collection in the old one's place."""
    name = names("box")
    make(place.client, name, COUNT)
    before, known = content(place.client, name), places(place)
    migrated(place, Order(name, None, tmp_path / "state"))
    assert places(place) == known
    assert_same(before, content(place.client, name))
    judged(place, name)


def test_without_the_memory(place: Guarded, names: Callable[[str], str], tmp_path: Path) -> None:
    """Older records would be carried over as good, or the new ones never be known: refused in words, both ways."""
    bare = tmp_path / "policy.yaml"
    bare.write_text(POLICY.replace("rollback: detect", "rollback: ignore"))
    given = ["--policy", str(bare), "--state", str(tmp_path / "state"), *options(place)[2:]]
    source = names("box")
    make(place.client, source, 3)
    done = CliRunner().invoke(app, ["migrate", source, "--to", names("late"), *given])
    assert (done.exit_code, "--config" in done.output) == (1, True), done.output
    given[1] = str(policy(place))
    done = CliRunner().invoke(app, ["migrate", source, "--to", f"{source}-new", *given])
    assert (done.exit_code, "rollback_memory" in done.output) == (1, True), done.output
    assert len(content(place.client, source)) == 3


def test_the_memory_of_somebody_else(place: Guarded, names: Callable[[str], str], tmp_path: Path) -> None:
    """One that knows nothing of the collection is none."""
    source, other = names("box"), tmp_path / "settings.yaml"
    make(place.client, source, 3)
    other.write_text(f"rollback_memory: {tmp_path / 'other.db'}\n")
    given = ["--config", str(other), *options(place)[2:]]
    rules = ["--policy", str(policy(place)), "--state", str(tmp_path / "state")]
    for command in (["migrate", source, "--to", names("late"), *rules], ["keys", "rotate", source]):
        done = CliRunner().invoke(app, [*command, *given])
        assert (done.exit_code, f"verify {source} --adopt" in done.output) == (1, True), done.output
    assert len(content(place.client, source)) == 3


# Where a run is killed; each is reached by the next run.
POINTS: tuple[Callable[[Journal], bool], ...] = (
    lambda journal: True,
    lambda journal: journal.copied >= 200,
    lambda journal: journal.phase == "comparing",
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["open", "box"])
def test_killed_and_run_again(place: Guarded, names: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """kill -9 at whatever point, also between the memory and the database: as if it had never happened."""
    source, target, state, count = names(kind), f"{names('box')}-new", tmp_path / "state", 600
    face = place.rest if kind == "open" else place.client
    make(face, source, count)
    before = content(face, source)
    command = [sys.executable, "-m", "vecguard", "migrate", source, "--to", target, "--state", str(state)]
    command += [*options(place), "--policy", str(policy(place)), "--json"]
    for reached in POINTS:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            while running.poll() is None and not (
                state.exists() and reached(Journal.model_validate_json(state.read_bytes()))
            ):
                time.sleep(0.005)
            assert running.poll() is None, running.stderr and running.stderr.read()
            os.kill(running.pid, signal.SIGKILL)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    place.forget()
    assert_same(before, content(place.client, target))
    judged(place, target)
