"""What happens to whole collections with `rollback: detect`: keys rotated or destroyed, aliases switched, deleted and
made again. Reads go on, and what was before is told where somebody puts it back behind the proxy."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from alerting.receiver import SECRET, receiving
from ports import free_port
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import Guarded, refusal
from proxy.conftest import create
from proxy.processes import until
from proxy.test_observability import total
from proxy.test_rollback import (
    POLICY,
    Replica,
    all_read,
    at_rest,
    made,
    picked,
    put_back,
    raw,
    reads,
    sound,
    told_by_all,
    upsert,
)
from vecguard.catalog import MAX_AGE_S
from vecguard.config import Settings, load_settings
from vecguard.errors import Shredded, TenantShredded
from vecguard.front.qdrant import metadata as meta
from vecguard.keys.file import FileKeyProvider
from vecguard.upkeep.access import Database, open_database
from vecguard.upkeep.adopt import adopt
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.shred import shred
from vecguard.upkeep.shred_tenant import shred_tenant
from vecguard.upkeep.verify import Verification, verify

OPEN = "  - {match: 'open-*', protect: none}\n"
REFUSED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("life")
    settings, key = folder / "settings.yaml", folder / "shared.key"
    settings.write_text(f"workers: 1\nrollback_memory: {folder / 'newest.db'}\n")
    FileKeyProvider.create(str(key), {})
    with Replica(engine, folder / "proxy", settings, key, POLICY + OPEN) as running:
        yield running


@pytest.fixture
def box(place: Guarded) -> Iterator[str]:
    with made(place, "box") as name:
        yield name


def settings_of(place: Guarded) -> Settings:
    given = {"upstream": f"qdrant://{place.engine.target}", "key": f"file:{place.proxy.key_file}"}
    return load_settings(place.proxy.data.parent.parent / "settings.yaml", given)


def verified(place: Guarded, name: str) -> Verification:
    async def run() -> Verification:
        async with open_database(settings_of(place)) as database:
            return await verify(database, name)

    return asyncio.run(run())


def adopted(place: Guarded, name: str) -> None:
    async def run() -> None:
        async with open_database(settings_of(place)) as database:
            async for _ in adopt(database, name, settle_s=0.0):
                pass

    asyncio.run(run())


def acted(place: Guarded, act: Callable[[Database], object]) -> None:
    async def run() -> None:
        async with open_database(settings_of(place)) as database:
            await act(database)  # type: ignore[misc]

    asyncio.run(run())
    place.forget()


async def rotated(database: Database, name: str) -> None:
    async for _ in rotate(database, name):
        pass


def untold(event: str, **fields: object) -> None:
    """A trail that keeps nothing."""


def refused(place: Guarded, name: str) -> None:
    """Every read is refused, in words that say what an operator can do."""
    for kind, read in reads(place, name).items():
        code, details = refusal(read)
        assert (code, f"verify {name} --adopt" in details) == (REFUSED, True), (kind, details)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["box", "hidden", "keyed"])
def test_a_rotation(place: Guarded, kind: str) -> None:
    """Reads and writes go on; nothing of before it can be put back, neither a whole record nor one that was older."""
    failures: list[str] = []
    with made(place, kind) as name:
        config, oldest = config_of(place, name), at_rest(place, name)
        upsert(place, name, 1, seed=0)
        before, stop = at_rest(place, name), threading.Event()

        def use() -> None:
            while not stop.is_set():
                try:
                    all_read(place, name)
                    upsert(place, name, 2)
                except grpc.RpcError as error:
                    failures.append(f"{error.code()} {error.details()}")

        user = threading.Thread(target=use)
        user.start()
        try:
            acted(place, lambda database: rotated(database, name))
        finally:
            stop.set()
            user.join()
        assert failures == []
        sound(place, name)
        assert (verified(place, name).bad, verified(place, name).missing) == ({}, 0)
        after = at_rest(place, name)
        for older in (before, oldest):
            put_back(place, name, older)
            told_by_all(place, name, but=("sparse",))  # whose indices of before no query finds any more
            assert len(verified(place, name).bad) == 6
            for number, point in after.items():
                place.put(name, number, *raw(point))
            sound(place, name)
        place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
        create_behind(place, name, config, oldest)  # with its manifest of then, whose keys open it all
        told_by_all(place, name)


@pytest.mark.slow
def test_the_servers_own_sweep(engine: Server, tmp_path: Path) -> None:
    """What is too old is deleted beside reads that do not notice; none of it is missing, and none can be put back."""
    settings, key = tmp_path / "settings.yaml", tmp_path / "own.key"
    settings.write_text(f"workers: 2\nretention_sweep_s: 1\nrollback_memory: {tmp_path / 'newest.db'}\n")
    FileKeyProvider.create(str(key), {})
    with Replica(engine, tmp_path / "proxy", settings, key) as place, made(place, "kept") as name:
        before = at_rest(place, name)
        for number in (1, 2):  # as if they had been written long ago
            held, stored = raw(copy.deepcopy(before[number]))
            held["_vgt"].integer_value -= 100 * 86_400
            place.put(name, number, held, stored)
        until(lambda: all_read(place, name) and set(at_rest(place, name)) == {3, 4, 5, 6})
        sound(place, name, {3, 4, 5, 6})
        found = verified(place, name)
        assert (found.records, found.bad, found.missing) == (4, {}, 0)
        put_back(place, name, before)
        told_by_all(place, name)


@pytest.mark.slow
def test_a_tenant_is_destroyed(place: Guarded) -> None:
    """Its records are deleted as by a client: none is missing, and one that is put back is not served."""
    with made(place, "keyed") as name:
        before = at_rest(place, name)
        acted(place, lambda database: shred_tenant(database, name, "number 2", untold, settle_s=0.0))
        sound(place, name, {1, 3, 4, 5, 6})
        found = verified(place, name)
        assert (found.records, found.bad, found.missing) == (5, {}, 0)
        put_back(place, name, before)
        ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=2)])
        code, details = refusal(lambda: place.client.points.Get(ask))
        assert code == grpc.StatusCode.DATA_LOSS or details == TenantShredded.TEXT
        assert "not the newest" in verified(place, name).bad["2"]
        place.client.points.Delete(q.DeletePoints(collection_name=name, points=picked(2)))
        sound(place, name, {1, 3, 4, 5, 6})


def test_a_collection_is_destroyed(place: Guarded, box: str) -> None:
    """Whoever puts its wrapped keys back behind the proxy has not undone it: nothing is known of its records."""
    core = place.metadata(box)[meta.CORE]
    acted(place, lambda database: shred(database, box, untold))
    assert refusal(reads(place, box)["get all"]) == (REFUSED, Shredded.TEXT)
    place.set_metadata(box, {meta.CORE: core})
    refused(place, box)


def switch(place: Guarded, alias: str, to: str) -> None:
    change = q.ChangeAliases()
    change.actions.add().delete_alias.alias_name = alias
    change.actions.add().create_alias.CopyFrom(q.CreateAlias(collection_name=to, alias_name=alias))
    place.client.collections.UpdateAliases(change)


@pytest.mark.slow
def test_an_alias_is_switched_and_renamed(place: Guarded, box: str) -> None:
    """What is newest is of the collection that it means."""
    alias, failures = f"{box}-alias", list[str]()
    with made(place, "box") as other:
        upsert(place, other, 7)
        stop = threading.Event()
        switch(place, alias, box)

        def use() -> None:
            while not stop.is_set():
                try:
                    for read in reads(place, alias).values():
                        read()
                    upsert(place, alias, 1)
                except grpc.RpcError as error:
                    failures.append(f"{error.code()} {error.details()}")

        users = [threading.Thread(target=use) for _ in range(2)]
        for user in users:
            user.start()
        for to in (other, box, other):
            time.sleep(0.5)
            switch(place, alias, to)
        time.sleep(0.5)
        stop.set()
        for user in users:
            user.join()
        assert failures == []
        for name in (box, other, alias):
            sound(place, name, set(range(1, 7)) | ({7} if name != box else set()), but="get")
        before = at_rest(place, other)
        upsert(place, alias, 1, seed=20)
        put_back(place, other, before)
        told_by_all(place, alias)
        upsert(place, alias, 1)
        renamed, change = f"{box}-renamed", q.ChangeAliases()
        change.actions.add().rename_alias.CopyFrom(q.RenameAlias(old_alias_name=alias, new_alias_name=renamed))
        place.client.collections.UpdateAliases(change)
        sound(place, renamed, set(range(1, 8)), but="get")
        before = at_rest(place, other)
        upsert(place, renamed, 2, seed=20)
        put_back(place, other, before)
        told_by_all(place, renamed)


def create_behind(place: Guarded, name: str, config: q.CollectionConfig, points: dict[int, q.RetrievedPoint]) -> None:
    """Bring back a collection as a whole, as from a copy of the database, behind the proxy."""
    params = config.params
    ask = q.CreateCollection(collection_name=name, vectors_config=params.vectors_config)
    ask.sparse_vectors_config.CopyFrom(params.sparse_vectors_config)
    for key in config.metadata:
        ask.metadata[key].CopyFrom(config.metadata[key])
    place.rest.collections.Create(ask)
    for number, point in points.items():
        place.put(name, number, *raw(point))
    place.forget()


def config_of(place: Guarded, name: str) -> q.CollectionConfig:
    return place.rest.collections.Get(q.GetCollectionInfoRequest(collection_name=name)).result.config


def delete(place: Guarded, name: str) -> None:
    place.client.collections.Delete(q.DeleteCollection(collection_name=name))


@pytest.mark.slow
@pytest.mark.parametrize("idle_s", [0.0, MAX_AGE_S + 0.2], ids=["in use", "long unused"])
def test_a_deleted_collection_comes_back_behind_the_proxy(place: Guarded, box: str, idle_s: float) -> None:
    """Whole, with all that was its newest: it was deleted, so nothing is known of it, and an operator has to look."""
    config, points = config_of(place, box), at_rest(place, box)
    time.sleep(idle_s)
    delete(place, box)
    create_behind(place, box, config, points)
    refused(place, box)
    assert refusal(lambda: upsert(place, box, 1))[0] == REFUSED
    adopted(place, box)
    sound(place, box)


@pytest.mark.slow
def test_nothing_is_forgotten_where_nothing_is_deleted(place: Guarded, box: str) -> None:
    """By an alias, which a client may name, or another name: what is there goes on."""
    change = q.ChangeAliases()
    change.actions.add().create_alias.CopyFrom(q.CreateAlias(collection_name=box, alias_name=f"{box}-other"))
    place.client.collections.UpdateAliases(change)
    before = at_rest(place, box)
    for name in (f"{box}-other", f"{box}-nobody"):
        delete(place, name)
        sound(place, box)
    upsert(place, box, 1, seed=20)
    put_back(place, box, before)
    told_by_all(place, box)


@pytest.mark.slow
def test_deleted_and_made_again(place: Guarded, box: str) -> None:
    """Under the same name: nothing of the old one disturbs reads, and neither its records nor all of it are served."""
    config, old = config_of(place, box), at_rest(place, box)
    delete(place, box)
    create(place, box)
    upsert(place, box, *range(3, 7))
    sound(place, box)
    found = verified(place, box)
    assert (found.records, found.bad, found.missing) == (6, {}, 0)
    newest = at_rest(place, box)
    put_back(place, box, old)
    told_by_all(place, box, but=("sparse",))
    for number, point in newest.items():
        place.put(box, number, *raw(point))
    sound(place, box)
    place.rest.collections.Delete(q.DeleteCollection(collection_name=box))
    create_behind(place, box, config, old)
    refused(place, box)


def test_a_collection_that_does_not_open_can_be_deleted(place: Guarded, box: str) -> None:
    place.set_metadata(box, {meta.CORE: "vgm1.what is no manifest"})
    assert refusal(reads(place, box)["get all"])[0] == grpc.StatusCode.DATA_LOSS
    delete(place, box)
    assert box not in {known.name for known in place.rest.collections.List(q.ListCollectionsRequest()).collections}


@pytest.mark.slow
def test_it_is_not_deleted_while_the_memory_is_away(engine: Server, tmp_path: Path) -> None:
    """It would go on to be remembered, and could be put back: as all other writes this waits for the memory."""
    settings, key, memory = tmp_path / "settings.yaml", tmp_path / "own.key", tmp_path / "memory" / "newest.db"
    memory.parent.mkdir()
    settings.write_text(f"rollback_memory: {memory}\n")
    FileKeyProvider.create(str(key), {})
    with Replica(engine, tmp_path / "proxy", settings, key) as place, made(place, "box") as name:
        memory.parent.rename(tmp_path / "away")
        assert refusal(lambda: delete(place, name))[0] == grpc.StatusCode.UNAVAILABLE
        (tmp_path / "away").rename(memory.parent)
        sound(place, name)


@pytest.mark.slow
def test_what_is_put_back_is_counted_and_told_of(engine: Server, tmp_path: Path) -> None:
    """Whatever the policy does about it: in a metric, in the trail and by an alert, each record once a call."""
    port, secret, settings, key = free_port(), tmp_path / "secret", tmp_path / "settings.yaml", tmp_path / "own.key"
    secret.write_text(SECRET)
    FileKeyProvider.create(str(key), {})
    with receiving() as receiver:
        settings.write_text(
            f"rollback_memory: {tmp_path / 'newest.db'}\nmetrics: 127.0.0.1:{port}\n"
            f"webhook: {{url: '{receiver.url}', secret_file: {secret}}}\n"
        )
        with (
            Replica(engine, tmp_path / "proxy", settings, key) as place,
            made(place, "box") as box,
            made(place, "drop") as drop,
        ):
            for name in (box, drop):
                before = at_rest(place, name)
                upsert(place, name, 1, 2, seed=20)
                sound(place, name)
                assert total(port, "vecguard_rolled_back_records_total", collection=name) == 0
                put_back(place, name, before)
            assert refusal(reads(place, box)["get all"])[0] == grpc.StatusCode.DATA_LOSS
            assert reads(place, drop)["get all"]() == {3, 4, 5, 6}
            for name in (box, drop):
                until(lambda name=name: total(port, "vecguard_rolled_back_records_total", collection=name) == 2)
            until(lambda: {one["type"] for one in receiver.taken} >= {"vecguard.rolled_back"})
            told = [one["data"]["collections"] for one in receiver.taken if one["type"] == "vecguard.rolled_back"]
            assert [box] in told
            until(lambda: [drop] in [one["data"]["collections"] for one in receiver.taken])
