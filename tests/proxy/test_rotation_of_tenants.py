"""Data-key rotation where each tenant has keys of its own: each gets a new one, and no record another's."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from serving import Proxy, Server, serving_proxy

from proxy.behind import Guarded, guarded, manifest_of, refusal
from proxy.test_rotation import QUICK, rotate_command, run
from proxy.test_tenant_callers import POLICY as BY_CALLER
from proxy.test_tenant_keys import (
    POLICY,
    create,
    ids,
    keys_at_rest,
    marks,
    match,
    names,
    of,
    point,
    scroll,
    search,
    set_payload,
    text,
)
from proxy.test_tenant_shred import GONE, looked, settings_of, shredded
from vecguard.errors import FailedPrecondition
from vecguard.front.qdrant import metadata as meta
from vecguard.manifest import open_tenants
from vecguard.upkeep import tenants_turned
from vecguard.upkeep.access import open_database
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.verify import verify

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(engine, tmp_path_factory.mktemp("turning"), POLICY) as running:
        yield running


@pytest.fixture(params=["many-turned", "dark-turned"])
def name(place: Guarded, request: pytest.FixtureRequest) -> Iterator[str]:
    """A collection of `ada` and `bob`; `dark` ones have encrypted ids, hidden names and a retention, too."""
    made = next(names).replace("many", str(request.param))
    create(place, made)
    yield made
    place.rest.collections.Delete(q.DeleteCollection(collection_name=made))
    place.forget()


def command(place: Guarded, name: str) -> list[str]:
    return rotate_command(place.proxy, name, *QUICK, upstream=f"qdrant://{place.engine.target}")


def test_each_tenants_records_are_brought_to_a_new_key_of_its_own(place: Guarded, name: str) -> None:
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point(8, "eve")], wait=True))
    shredded(place, name, "eve")
    before = scroll(place, name)
    was, old = keys_at_rest(place, name), at_rest(place, name)
    found = search(place, name, 3), search(place, name, 5, of("bob"))
    done = run(command(place, name))
    assert done.returncode == 0, done.stderr
    place.forget()
    now = scroll(place, name)
    assert now.keys() == before.keys()
    assert [dict(now[n].payload) for n in now] == [dict(before[n].payload) for n in now]
    assert (search(place, name, 3), search(place, name, 5, of("bob"))) == found
    keys, marked = keys_at_rest(place, name), at_rest(place, name)
    assert len(keys) == 3, "ada's, bob's, and what says that eve's was destroyed"
    assert {key for key in keys if key in was} == {key for key in keys if keys[key] not in was.values() and key in was}
    assert len(set(marked.values())) == 2
    assert not set(marked.values()) & set(old.values())
    assert looked(place, name) == {}
    place.client.points.SetPayload(set_payload(name, {"secret": text("told")}, ids(1)))
    assert scroll(place, name)[1].payload["secret"].string_value == "told"
    again = q.UpsertPoints(collection_name=name, points=[point(8, "eve")], wait=True)
    assert refusal(lambda: place.client.points.Upsert(again)) == GONE
    assert run(command(place, name)).returncode == 0, "and a second time"
    place.forget()
    assert looked(place, name) == {}
    assert refusal(lambda: place.client.points.Upsert(again)) == GONE
    shredded(place, name, "ada")
    assert sorted(scroll(place, name)) == [4, 5, 6, 7]


def at_rest(place: Guarded, name: str) -> dict[str, int]:
    """The keys that points say they are under, by ids as they are stored."""
    points = place.rest.points.Scroll(q.ScrollPoints(collection_name=name, limit=100)).result
    return {str(found.id): found.payload["_vgk"].integer_value for found in points}


def test_nothing_is_lost_under_writes_and_kills(place: Guarded) -> None:
    """Whole points of old and new tenants, parts of points, deletions, and the job killed."""
    name, draw = next(names).replace("many", "many-busy"), random.Random(4)
    create(place, name)
    many = [point(number, f"tenant {number % 7}") for number in range(300)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=many, wait=True))
    expected = {number: (f"tenant {number % 7}", f"secret of tenant {number % 7} {number}") for number in range(300)}
    failures, stop = list[str](), threading.Event()

    def write(part: int) -> None:
        choose, own = random.Random(part), [number for number in range(300) if number % 3 == part]
        while not stop.is_set():
            number = choose.choice(own)
            try:
                one(choose, number)
            except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                failures.append(repr(failure)[:400])
            time.sleep(0.02)

    def one(choose: random.Random, number: int) -> None:
        if number not in expected or choose.random() < 0.4:
            tenant = f"tenant {choose.choice((number % 7, choose.randrange(12)))}"
            ask = q.UpsertPoints(collection_name=name, points=[point(number, tenant)], wait=True)
            place.client.points.Upsert(ask)
            expected[number] = tenant, f"secret of {tenant} {number}"
        elif choose.random() < 0.6:
            said = f"set {choose.random()}"
            place.client.points.SetPayload(set_payload(name, {"secret": text(said)}, ids(number)))
            expected[number] = expected[number][0], said
        else:
            place.client.points.Delete(q.DeletePoints(collection_name=name, points=ids(number), wait=True))
            del expected[number]

    threads = [threading.Thread(target=write, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            job = subprocess.Popen(command(place, name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(5.0, 8.5))
            job.send_signal(signal.SIGKILL)
            job.wait()
        done = run(command(place, name))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert done.returncode == 0, done.stderr
    assert failures == []
    assert manifest_of(place, name)[0].epochs.keys() == {2}
    place.forget()
    now = scroll(place, name, limit=400)
    told = {n: p.payload for n, p in now.items()}
    assert {
        n: (p["who"].struct_value.fields["tenant"].string_value, p["secret"].string_value) for n, p in told.items()
    } == expected
    assert looked(place, name) == {}
    ulm = {number for number in expected if number % 2 == 0}
    for tenant in ("tenant 1", "tenant 4"):
        wanted = {number for number in ulm if expected[number][0] == tenant}
        assert set(scroll(place, name, of(tenant), match("city", "Ulm"), limit=400)) == wanted
    shredded(place, name, "tenant 2")
    left = {number for number, (tenant, _) in expected.items() if tenant != "tenant 2"}
    assert set(scroll(place, name, limit=400)) == left
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))


def test_both_keys_answer_in_the_midst_of_it(place: Guarded, name: str) -> None:
    """Stopped after its first page of records, as a job that was killed: filters, searches, parts of points."""

    async def begun() -> None:
        async with open_database(settings_of(place)) as database:
            async for progress in rotate(database, name, settle_s=0.1):
                if progress.stage == "settling":
                    continue
                if progress.stage.startswith("pass"):
                    return

    before = scroll(place, name)
    asyncio.run(begun())
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point(9, "zoe")], wait=True))
    place.forget()
    assert len(manifest_of(place, name)[0].epochs) == 2
    assert search(place, name, 3)[0] == 3
    ulm = sorted(scroll(place, name, of("ada"), match("city", "Ulm")))
    assert ulm == [0, 2]
    assert sorted(scroll(place, name, match("city", "Bonn"))) == [1, 3, 5, 7, 9]
    assert {n: dict(p.payload) for n, p in scroll(place, name).items() if n < 9} == {
        n: dict(p.payload) for n, p in before.items()
    }
    assert run(command(place, name)).returncode == 0
    place.forget()
    assert looked(place, name) == {}
    assert len(keys_at_rest(place, name)) == 3


def test_a_point_that_was_moved_to_another_tenant_behind_our_back_stops_it(place: Guarded) -> None:
    """It is not sealed under that tenant's key, so that a shred of its own reaches it still."""
    name = next(names).replace("many", "many-moved")
    create(place, name)
    ada, bob = marks(place, name, 0, 4)
    moved = q.SetPayloadPoints(
        collection_name=name, payload={"_vgk": q.Value(integer_value=bob)}, points_selector=ids(0), wait=True
    )
    place.rest.points.SetPayload(moved)
    stopped = run(command(place, name))
    assert stopped.returncode == 1
    assert "1 records" in stopped.stderr
    assert marks(place, name, 0) == [bob]
    back = q.SetPayloadPoints(
        collection_name=name, payload={"_vgk": q.Value(integer_value=ada)}, points_selector=ids(0), wait=True
    )
    place.rest.points.SetPayload(back)
    assert run(command(place, name)).returncode == 0
    place.forget()
    assert looked(place, name) == {}
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))


def test_more_keys_than_a_collection_may_have_are_refused_before_anything_changes(
    place: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(names).replace("many", "many-full")
    create(place, name)
    before = place.metadata(name)

    async def attempt() -> None:
        async with open_database(settings_of(place)) as database:
            async for _ in rotate(database, name, settle_s=0.0):
                pass

    monkeypatch.setattr(tenants_turned, "MOST_TENANT_KEYS", 3)
    with pytest.raises(FailedPrecondition, match="would add 2, and may have 3"):
        asyncio.run(attempt())
    assert place.metadata(name) == before
    monkeypatch.setattr(tenants_turned, "MOST_TENANT_KEYS", 4)
    asyncio.run(attempt())
    manifest, ring = manifest_of(place, name)
    assert len(open_tenants(keys_of(place, name), manifest, ring).numbers) == 2
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))


def keys_of(place: Guarded, name: str) -> dict[str, str]:
    prefix = f"{meta.CORE}.tenant."
    return {key.removeprefix(prefix): value for key, value in keys_at_rest(place, name).items()}


def test_tenants_that_callers_are_stay_who_they_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No record says whose it is: the key of tenants' ids outlives the epoch."""
    name = f"own-turned-{next(itertools.count())}"
    with serving_proxy(tmp_path_factory.mktemp("callers"), BY_CALLER) as proxy:
        clients = {tenant: client_of(proxy, tenant) for tenant in ("ada", "bob")}
        try:
            params = models.VectorParams(size=8, distance=models.Distance.COSINE)
            clients["ada"].create_collection(name, vectors_config=params)
            for i, client in enumerate(clients.values()):
                own = models.PointStruct(id=i, vector=[1.0] * 7 + [float(i)], payload={"city": "Ulm"})
                client.upsert(name, [own], wait=True)
            done = run(rotate_command(proxy, name, *QUICK))
            assert done.returncode == 0, done.stderr
            for i, client in enumerate(clients.values()):
                (found,), _ = client.scroll(name, limit=10)
                assert (found.id, found.payload) == (i, {"city": "Ulm"})
                client.set_payload(name, {"city": "Bonn"}, points=[i], wait=True)
                client.upsert(name, [models.PointStruct(id=i + 10, vector=[0.5] * 8, payload={})], wait=True)
                assert sorted(one.id for one in client.scroll(name, limit=10)[0]) == [i, i + 10]
        finally:
            for client in clients.values():
                client.close()


def client_of(proxy: Proxy, tenant: str) -> QdrantClient:
    return QdrantClient(
        host="127.0.0.1",
        grpc_port=proxy.port,
        prefer_grpc=True,
        check_compatibility=False,
        https=False,
        api_key=f"vgk_{tenant}",
        timeout=60,
    )


def test_a_look_at_every_record_finds_nothing(place: Guarded, name: str) -> None:
    assert run(command(place, name)).returncode == 0

    async def look() -> dict[str, tuple[str, ...]]:
        async with open_database(settings_of(place)) as database:
            return (await verify(database, name)).bad

    assert asyncio.run(look()) == {}
