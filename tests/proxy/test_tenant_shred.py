"""A tenant's keys destroyed: what is gone for everybody, what the others notice, and what a thief is left with."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as q
from serving import Server, serving_proxy

from proxy.behind import Face, Guarded, guarded, refusal
from proxy.byte_search import every_byte
from proxy.processes import until
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
    row,
    scroll,
    search,
    set_payload,
    text,
)
from vecguard.catalog import MAX_AGE_S
from vecguard.config import Settings, parse_upstream
from vecguard.errors import Shredded, TenantShredded, Unreadable
from vecguard.front.qdrant import metadata as meta
from vecguard.front.qdrant import reveal
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import open_core, open_tenants, open_vector
from vecguard.seal.tenant import open_tenant_key
from vecguard.shield import Shield
from vecguard.upkeep.access import as_made, open_database
from vecguard.upkeep.migrate import Migration
from vecguard.upkeep.plan import Order, planned
from vecguard.upkeep.rewrap import rewrap
from vecguard.upkeep.shred import shred
from vecguard.upkeep.shred_tenant import TenantShred, shred_tenant

GONE = grpc.StatusCode.FAILED_PRECONDITION, TenantShredded.TEXT


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(engine, tmp_path_factory.mktemp("shredding"), POLICY) as running:
        yield running


@pytest.fixture
def name(place: Guarded) -> Iterator[str]:
    made = next(names).replace("many", "many-shred")
    create(place, made)
    yield made
    place.rest.collections.Delete(q.DeleteCollection(collection_name=made))
    place.forget()


def vecguard(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vecguard", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def common(place: Guarded) -> tuple[str, ...]:
    return "--upstream", f"qdrant://{place.engine.target}", "--key", f"file:{place.proxy.key_file}"


def settings_of(place: Guarded) -> Settings:
    address = parse_upstream(f"qdrant://{place.engine.target}")
    return Settings(upstream=(address,), key=f"file:{place.proxy.key_file}", policy=place.proxy.policy)


def shredded(place: Guarded, name: str, tenant: str) -> TenantShred:
    """As the command does, with the proxy made to look again at once."""

    async def run() -> TenantShred:
        async with open_database(settings_of(place)) as database:
            return (await shred_tenant(database, name, tenant, lambda event, **fields: None, settle_s=0.0))[0]

    proof = asyncio.run(run())
    place.forget()
    return proof


def looked(place: Guarded, name: str) -> dict[str, tuple[str, ...]]:
    """The faults of each stored point, by its id, where there are any."""

    async def run() -> dict[str, tuple[str, ...]]:
        async with open_database(settings_of(place)) as database:
            shield = await database.shield(name)
            assert shield is not None
            pages = [page async for page in database.front.inspect(database.upstream, name, shield)]
            return {one.key: one.faults for page in pages for one in page if one.faults}

    return asyncio.run(run())


def stolen(place: Guarded, name: str, metadata: dict[str, str]) -> Shield:
    """What a thief makes of a collection's metadata, who has the KEK, too."""
    manifest, ring = open_core(metadata[meta.CORE], FileKeyProvider(place.proxy.key_file))
    prefix = f"{meta.CORE}.tenant."
    ring = ring.with_tenants(
        open_tenants({k.removeprefix(prefix): v for k, v in metadata.items() if prefix in k}, manifest, ring)
    )
    prefix = f"{meta.CORE}.vector."
    texts = {k.removeprefix(prefix): v for k, v in metadata.items() if prefix in k}
    vectors = {key: open_vector(key, value, manifest, ring) for key, value in texts.items()}
    return Shield(manifest, ring, vectors, as_made(manifest, vectors))


def opened(shield: Shield, stored: q.RetrievedPoint) -> q.RetrievedPoint:
    copied = q.RetrievedPoint()
    copied.CopyFrom(stored)
    reveal.points(shield, [copied], ["d", "m", "s"])
    return copied


@pytest.mark.slow
def test_a_thief_with_the_kek_opens_the_others_alone(place: Guarded, name: str) -> None:
    stored, before = place.stored(name, 0, 4), place.metadata(name)
    control = opened(stolen(place, name, before), stored[0])
    assert control.payload["secret"].string_value == "secret of ada 0"
    proof = shredded(place, name, "ada")
    shield = stolen(place, name, place.metadata(name))
    assert opened(shield, stored[1]).payload["secret"].string_value == "secret of bob 4"
    for part in ("secret", "city", "age"):
        value = stored[0].payload["_p"].struct_value.fields[part].string_value
        with pytest.raises(TenantShredded):
            shield.fields.reveal((part,), value, b"\x01" + bytes(8))
    with pytest.raises(TenantShredded):
        reveal.open_vectors(shield, [stored[0]], "d")
    # What the place of a key holds now is no key, and nothing at rest has the text that was there.
    (place_of_key,) = proof.before
    now = place.metadata(name)[f"{meta.CORE}.tenant.{place_of_key}"]
    manifest, ring = open_core(before[meta.CORE], FileKeyProvider(place.proxy.key_file))
    found = open_tenant_key(int(place_of_key, 16), now, ring, manifest.uuid.bytes)
    assert (found.key, found.destroyed is not None) == (None, True)
    assert before[f"{meta.CORE}.tenant.{place_of_key}"].encode() not in every_byte(place.engine.data)


@pytest.mark.slow
def test_a_shred_reaches_everybody_and_is_proven(place: Guarded, name: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"trail_folder: {tmp_path / 'trail'}\n")
    old = marks(place, name, 0)
    wrong = vecguard("keys", "shred", name, "--tenant", "ada", "--confirm", "bob", *common(place))
    assert (wrong.returncode, len(scroll(place, name))) == (1, 8)
    nobody = vecguard("keys", "shred", name, "--tenant", "zoe", "--confirm", "zoe", *common(place))
    assert (nobody.returncode, "has no keys" in nobody.stderr) == (1, True)
    said = ("--tenant", "ada", "--confirm", "ada", "--config", str(settings))
    done = vecguard("keys", "shred", name, *said, *common(place))
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)
    assert (proof["event"], proof["tenant"], proof["records"]) == ("keys shredded", "ada", 4)
    assert list(proof["before"]) == list(proof["after"]) == [f"{old[0]:08x}"]
    assert set(scroll(place, name)) == {4, 5, 6, 7}
    assert sorted(search(place, name, 0)) == [4, 5, 6, 7]
    assert search(place, name, 0, of("ada")) == []
    assert set(scroll(place, name, match("city", "Ulm"))) == {4, 6}
    assert (
        refusal(lambda: place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point(9, "ada")])))
        == GONE
    )
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=[point(9, "bob")], wait=True))
    (file,) = (tmp_path / "trail").iterdir()
    checked = vecguard("trail", "verify", str(file), "--key", f"file:{place.proxy.key_file}")
    assert (checked.returncode, f"keys destroyed of {name}, tenant ada" in checked.stdout) == (0, True), checked.stdout
    again = shredded(place, name, "ada")
    assert (again.before, again.records, again.after) == ({}, 0, proof["after"])


@pytest.mark.slow
def test_a_shred_among_writers(place: Guarded, name: str) -> None:
    """Who writes for the tenant meanwhile is refused sooner or later, for good, and leaves nothing behind."""
    done, after = threading.Event(), threading.Event()
    told: dict[str, list[tuple[int, str]]] = {"ada": [], "bob": []}

    def write(tenant: str, start: int) -> None:
        number = start
        while not after.is_set():
            stop, number = done.is_set(), number + 1
            try:
                points = [point(number, tenant)]
                place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
                told[tenant].append((number, "late" if stop else "OK"))
            except grpc.RpcError as error:
                told[tenant].append((number, str(error.details())))

    threads = [threading.Thread(target=write, args=pair) for pair in (("ada", 1000), ("bob", 2000))]
    for thread in threads:
        thread.start()
    until(lambda: bool(told["ada"] and told["bob"]))

    async def run() -> TenantShred:
        async with open_database(settings_of(place)) as database:
            return (await shred_tenant(database, name, "ada", lambda event, **fields: None))[0]

    proof = asyncio.run(run())
    done.set()
    so_far = len(told["ada"])
    until(lambda: len(told["ada"]) > so_far + 2)  # such as began after that
    after.set()
    for thread in threads:
        thread.join(60)
    acknowledged = [number for number, said in told["ada"] if said == "OK"]
    assert proof.records >= 4
    assert acknowledged
    assert {said for _, said in told["ada"]} == {"OK", TenantShredded.TEXT}
    assert {said for _, said in told["bob"]} <= {"OK", "late"}
    left = q.CountPoints(collection_name=name, exact=True)
    assert place.rest.points.Count(left).result.count == 4 + len(told["bob"])
    assert len(scroll(place, name, of("bob"), limit=10_000)) == 4 + len(told["bob"])


def test_what_comes_back_from_a_backup_is_refused_by_name_and_left_out(place: Guarded, name: str) -> None:
    copies = place.stored(name, 0, 1)
    shredded(place, name, "ada")
    for copied in copies:
        given = {key: value.dense for key, value in copied.vectors.vectors.vectors.items() if key == "d"}
        vectors = q.Vectors(vectors=q.NamedVectors(vectors={key: q.Vector(dense=one) for key, one in given.items()}))
        place.put(name, copied.id.num, dict(copied.payload), vectors)
    place.forget()
    ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=0), q.PointId(num=4)])
    ask.with_payload.enable = True
    assert refusal(lambda: place.client.points.Get(ask)) == GONE
    ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=4)])
    ask.with_payload.enable = True
    assert len(place.client.points.Get(ask).result) == 1
    assert set(scroll(place, name)) == {4, 5, 6, 7}
    assert sorted(search(place, name, 0)) == [4, 5, 6, 7]
    assert refusal(lambda: place.client.points.SetPayload(set_payload(name, {"a": text("b")}, ids(0)))) == GONE
    assert looked(place, name) == dict.fromkeys(("0", "1"), ("keys of its tenant destroyed",))
    assert shredded(place, name, "ada").records == 2
    assert looked(place, name) == {}


def test_a_record_that_says_it_is_anothers_is_found(place: Guarded, name: str) -> None:
    (stored,) = place.stored(name, 0)
    given = q.Vector(dense=stored.vectors.vectors.vectors["d"].dense)
    payload = dict(stored.payload)
    payload["_vgk"].integer_value = marks(place, name, 4)[0]
    place.put(name, 0, payload, q.Vectors(vectors=q.NamedVectors(vectors={"d": given})))
    assert looked(place, name) == {"0": ("of another tenant than it says",)}


def test_shredding_the_collection_takes_all_tenants_with_it(place: Guarded, name: str) -> None:
    before = place.metadata(name)

    async def run() -> None:
        async with open_database(settings_of(place)) as database:
            await shred(database, name, lambda event, **fields: None)

    asyncio.run(run())
    place.forget()
    assert refusal(lambda: scroll(place, name)) == (grpc.StatusCode.FAILED_PRECONDITION, Shredded.TEXT)
    # The tenants' keys are still there, and of no use: they open with the collection's key alone.
    after = place.metadata(name)
    assert {k: v for k, v in after.items() if k != meta.CORE} == {k: v for k, v in before.items() if k != meta.CORE}


def test_a_key_that_was_altered_or_of_another_place_opens_nothing(place: Guarded, name: str) -> None:
    held = keys_at_rest(place, name)
    (one, other) = held
    for changes in ({one: held[other]}, {one: held[one][:-2] + "AA"}, {f"{meta.CORE}.tenant.80000001": held[one]}):
        place.set_metadata(name, dict(changes))
        assert refusal(lambda: scroll(place, name)) == (grpc.StatusCode.DATA_LOSS, Unreadable.TEXT)
        place.set_metadata(name, {**held, f"{meta.CORE}.tenant.80000001": None})
    # Without its key a record cannot be opened; it was not destroyed in the open, so nothing says that it was.
    place.set_metadata(name, {one: None})
    assert refusal(lambda: scroll(place, name)) == (grpc.StatusCode.DATA_LOSS, Unreadable.TEXT)


def test_rotation_is_refused_before_anything_changes_and_rewrapping_works(
    place: Guarded, name: str, tmp_path: Path
) -> None:
    before = place.metadata(name)
    new = tmp_path / "new.key"
    FileKeyProvider.create(str(new), {})

    async def run() -> None:
        async with open_database(settings_of(place)) as database:
            keys = FileKeyProvider(place.proxy.key_file), FileKeyProvider(new)
            for former, latter in (keys, keys[::-1]):
                found = {one.collection: one.state async for one in rewrap(database, former, latter)}
                assert found[name] == "rewrapped"

    asyncio.run(run())
    place.forget()
    assert place.metadata(name).keys() == before.keys()
    assert len(scroll(place, name)) == 8


def test_migration_carries_each_record_to_a_key_of_its_tenants(place: Guarded, name: str, tmp_path: Path) -> None:
    wanted = {number: dict(found.payload) for number, found in scroll(place, name).items()}

    async def run() -> None:
        order = Order(name, f"{name}-new", tmp_path / "state")
        async with planned(order, settings_of(place), None, None) as plan:
            await Migration(plan.source, plan.target, plan.policy, order.state, plan.journal).run()

    asyncio.run(run())
    assert {number: dict(found.payload) for number, found in scroll(place, f"{name}-new").items()} == wanted
    assert len(keys_at_rest(place, f"{name}-new")) == 2
    assert not keys_at_rest(place, f"{name}-new").items() & keys_at_rest(place, name).items()
    place.rest.collections.Delete(q.DeleteCollection(collection_name=f"{name}-new"))


@pytest.mark.slow
def test_two_proxies_that_meet_a_tenant_at_once_lose_nothing(place: Guarded, name: str, tmp_path: Path) -> None:
    with serving_proxy(
        tmp_path, POLICY, upstream=f"qdrant://{place.engine.target}", key_file=place.proxy.key_file
    ) as other:
        faces = [place.client, Face(other.target)]
        for face in faces:
            face.points.Count(q.CountPoints(collection_name=name))
        barrier = threading.Barrier(2)

        def write(face: Face, start: int) -> None:
            for number in range(start, start + 6):
                barrier.wait(30)
                points = [point(number, f"new-{number % 100}")]
                face.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))

        threads = [threading.Thread(target=write, args=(face, 100 * (i + 1))) for i, face in enumerate(faces)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert 8 <= len(keys_at_rest(place, name)) <= 14  # each of the six met once or twice
        time.sleep(MAX_AGE_S + 0.2)
        for face in faces:
            ask = q.ScrollPoints(collection_name=name, limit=100)
            ask.with_payload.enable = ask.with_vectors.enable = True
            assert len(face.points.Scroll(ask).result) == 20
            for number in range(6):
                asked = q.Filter(must=[of(f"new-{number}"), match("city", ("Ulm", "Bonn")[number % 2])])
                found = face.points.Scroll(q.ScrollPoints(collection_name=name, filter=asked)).result
                assert {held.id.num for held in found} == {100 + number, 200 + number}
        faces[1].channel.close()


@pytest.mark.slow
def test_kill_9_between_a_tenants_key_and_its_first_record(engine: Server, tmp_path: Path) -> None:
    """Whatever was acknowledged is there and opens; a key without records does no harm."""
    upstream, made = f"qdrant://{engine.target}", "many-killed"
    acknowledged: list[int] = []
    with guarded(engine, tmp_path / "first", POLICY) as first:
        create(first, made)
        key_file = first.proxy.key_file
    for turn in range(2):
        with serving_proxy(tmp_path / f"turn-{turn}", POLICY, upstream=upstream, key_file=key_file) as proxy:
            face = Face(proxy.target)
            face.points.Count(q.CountPoints(collection_name=made))
            killed = threading.Timer(0.15 + 0.11 * turn, proxy.process.kill)
            for number in range(1000 * (turn + 1), 1000 * (turn + 1) + 400):
                points = [point(number, f"t{number}")]
                try:
                    face.points.Upsert(q.UpsertPoints(collection_name=made, points=points, wait=True), timeout=10)
                except grpc.RpcError:
                    break
                acknowledged.append(number)
                if number == 1000 * (turn + 1):
                    killed.start()  # so that one is acknowledged
            face.channel.close()
    assert acknowledged
    with guarded(engine, tmp_path / "last", POLICY, key_file) as last:
        ask = q.GetPoints(collection_name=made, ids=[q.PointId(num=number) for number in acknowledged])
        ask.with_payload.enable = ask.with_vectors.enable = True
        found = {held.id.num: held for held in last.client.points.Get(ask).result}
        assert set(found) == set(acknowledged)
        for number, held in found.items():
            assert held.payload["secret"].string_value == f"secret of t{number} {number}"
            assert np.allclose(held.vectors.vectors.vectors["d"].dense.data, row(number), atol=1e-5)
        last.client.points.Upsert(q.UpsertPoints(collection_name=made, points=[point(5, "t1")], wait=True))
        last.rest.collections.Delete(q.DeleteCollection(collection_name=made))


def test_a_filter_that_would_name_too_many_keys_is_refused(place: Guarded, name: str) -> None:
    points = [point(number, f"t{number}") for number in range(100, 170)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
    place.refused(lambda: scroll(place, name, match("city", "Ulm")), "INVALID_ARGUMENT", "72 of them", "`who.tenant`")
    assert set(scroll(place, name, match("city", "Ulm"), of("t100"))) == {100}
    assert len(scroll(place, name)) == 78
    everything = q.PointsSelector(filter=q.Filter())
    call = set_payload(name, {"a": text("b")}, everything)
    code, details = refusal(lambda: place.client.points.SetPayload(call))
    assert (code, "more than 64 tenants" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


@pytest.mark.slow
def test_nothing_of_a_tenant_lies_open(place: Guarded, name: str) -> None:
    points = [point(300, "leak-tenant-name-x")]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
    everything = every_byte(place.engine.data)
    needles = (b"leak-tenant-name-x", np.asarray(row(300), "<f4").tobytes(), b"word300")
    assert [needle for needle in needles if needle in everything] == []
