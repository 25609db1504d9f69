"""Data-key rotation in Milvus where tenants have keys of their own: each gets a new one, and no row another's."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from meanwhile import Meanwhile
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from milvus.test_rotation import properties_at_rest, rotate_command, run
from milvus.test_tenant_keys import POLICY, filled, keys, make, row, settings_of, shredded, vector
from vecguard.catalog import MAX_AGE_S
from vecguard.errors import TenantShredded
from vecguard.upkeep.access import open_database
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 240
names = (f"many_turned_{number}" for number in count())


@pytest.fixture(scope="module")
def proxy(server: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    with serving_milvus(tmp_path_factory.mktemp("turning"), server, POLICY) as running:
        yield running


@pytest.fixture
def client(proxy: MilvusProxy) -> Iterator[MilvusClient]:
    with proxy.client() as made:
        yield made


@pytest.fixture
def name(client: MilvusClient) -> Iterator[str]:
    made = next(names)
    yield made
    client.drop_collection(made)


def places(server: MilvusServer, name: str) -> dict[str, str]:
    """Texts of tenants' keys by their place."""
    prefix = "_vg.tenant."
    at_rest = properties_at_rest(server, name)
    return {key.removeprefix(prefix): text for key, text in at_rest.items() if key.startswith(prefix)}


def marks(server: MilvusServer, name: str) -> dict[int, int]:
    with server.client() as bare:
        return {found["pk"]: found["_vgk"] for found in bare.query(name, filter="pk >= 0", output_fields=["_vgk"])}


def everything(client: MilvusClient, name: str) -> dict[int, dict[str, Any]]:
    fields = ["pk", "org", "city", "age", "secret", "doc", "free"]
    return {found["pk"]: dict(found) for found in client.query(name, filter="pk >= 0", output_fields=fields)}


def faults(proxy: MilvusProxy, server: MilvusServer, name: str) -> dict[str, tuple[str, ...]]:
    async def look() -> dict[str, tuple[str, ...]]:
        async with open_database(settings_of(proxy, server)) as database:
            return dict((await verify(database, name)).bad)

    return asyncio.run(look())


def test_each_tenants_rows_are_brought_to_a_new_key_of_its_own(
    client: MilvusClient, name: str, proxy: MilvusProxy, server: MilvusServer
) -> None:
    filled(client, name)
    client.insert(name, [row(20, "eve")])
    shredded(proxy, server, name, "eve", settle=MAX_AGE_S + 0.2)
    before, was, marked = everything(client, name), places(server, name), marks(server, name)
    done = run(rotate_command(server, proxy, name))
    assert done.returncode == 0, done.stderr
    time.sleep(MAX_AGE_S + 0.2)
    assert everything(client, name) == before
    now, held = marks(server, name), places(server, name)
    assert len(set(now.values())) == 2
    assert not set(now.values()) & set(marked.values())
    assert {f"{mark:08x}" for mark in now.values()} < {place for place, text in held.items() if text}
    assert len([text for text in held.values() if text]) == 3, "ada's, bob's, and what says that eve's was destroyed"
    assert not {text for text in held.values() if text} & set(was.values()), "no text opens under the old key"
    assert faults(proxy, server, name) == {}
    assert keys(client, name, "org == 'ada' and city == 'Ulm'") == {0, 2, 4, 6}
    assert keys(client, name, "city == 'Bonn' and age > 2") == {3, 5, 7}
    assert set(client.search(name, data=[vector(3)], limit=8)[0].ids) == set(range(8))
    with pytest.raises(MilvusException, match=TenantShredded.TEXT):
        client.insert(name, [row(21, "eve")])
    again = run(rotate_command(server, proxy, name))
    assert again.returncode == 0, again.stderr
    time.sleep(MAX_AGE_S + 0.2)
    assert everything(client, name) == before
    assert len(places(server, name)) <= len(held), "vacant places are taken again"
    with pytest.raises(MilvusException, match=TenantShredded.TEXT):
        client.insert(name, [row(21, "eve")])
    assert shredded(proxy, server, name, "ada", settle=MAX_AGE_S + 0.2).records == 4
    assert keys(client, name, "pk >= 0") == {1, 3, 5, 7}


def test_both_keys_answer_in_the_midst_of_it(
    client: MilvusClient, name: str, proxy: MilvusProxy, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before its first row: old rows and new ones, of old tenants and of a new one."""

    async def begun() -> None:
        async with open_database(settings_of(proxy, server)) as database:
            async for progress in rotate(database, name, settle_s=0.1):
                if progress.stage.startswith("pass"):
                    return

    filled(client, name)
    with monkeypatch.context() as held:
        module = sys.modules["vecguard.front.milvus.reprotect"]
        held.setattr(module, "_sorted_out", lambda *_: ({}, []))  # the job comes to no row
        asyncio.run(begun())
    time.sleep(MAX_AGE_S + 0.2)
    client.upsert(name, [row(0, "ada"), row(1, "zoe")])
    client.insert(name, [row(8, "bob"), row(9, "zoe")])
    assert len(set(marks(server, name).values())) >= 4
    expected = {n: row(n, ("ada", "bob")[n % 2])["secret"] for n in range(9)} | {1: "of zoe 1", 8: "of bob 8"}
    expected[9] = "of zoe 9"
    assert {n: found["secret"] for n, found in everything(client, name).items()} == expected
    assert keys(client, name, "city == 'Ulm'") == {0, 2, 4, 6, 8}
    assert keys(client, name, "org == 'zoe' and city == 'Bonn'") == {1, 9}
    assert client.search(name, data=[vector(3)], limit=3)[0].ids[0] == 3
    client.delete(name, filter="org == 'bob' and city == 'Ulm'")
    del expected[8]
    done = run(rotate_command(server, proxy, name))
    assert done.returncode == 0, done.stderr
    time.sleep(MAX_AGE_S + 0.2)
    assert {n: found["secret"] for n, found in everything(client, name).items()} == expected
    assert len({text for text in places(server, name).values() if text}) == 3
    assert faults(proxy, server, name) == {}


def test_a_row_that_was_moved_to_another_tenant_behind_our_back_stops_it(
    client: MilvusClient, name: str, proxy: MilvusProxy, server: MilvusServer
) -> None:
    """It is not sealed under that tenant's key, so that a shred of its own reaches it still."""
    filled(client, name)
    told = marks(server, name)
    under(server, name, 0, told[1])
    stopped = run(rotate_command(server, proxy, name))
    assert (stopped.returncode, "1 records" in stopped.stderr) == (1, True), stopped.stderr
    assert marks(server, name)[0] == told[1]
    under(server, name, 0, told[0])
    done = run(rotate_command(server, proxy, name))
    assert done.returncode == 0, done.stderr
    assert faults(proxy, server, name) == {}


def under(server: MilvusServer, name: str, number: int, key: int) -> None:
    """Have a row say that it is under another key, as a writer to the database could."""
    with server.client() as bare:
        (whole,) = bare.query(name, filter=f"pk == {number}", output_fields=["*"])
        bare.upsert(name, [{**whole, "v": list(whole["v"]), "_vgk": key}])


class Writers(Meanwhile):
    """Two clients that write whole rows of some tenants, each its own rows, and delete them, until told to stop."""

    def __init__(self, proxy: MilvusProxy, name: str, tenants: int) -> None:
        self.expected = {number: f"of {tenant_of(number)} {number}" for number in range(ROWS)}
        self.failures = list[str]()
        self._proxy, self._name, self._tenants = proxy, name, tenants
        super().__init__(*(partial(self._write, part) for part in range(2)))

    def _write(self, part: int) -> None:
        choose, own = random.Random(part), [number for number in range(ROWS) if number % 3 == part]
        with self._proxy.client() as client:
            while not self._stop.is_set():
                try:
                    self._one(choose, client, choose.choice(own))
                except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                    self.failures.append(repr(failure)[:400])
                time.sleep(0.05)

    def _one(self, choose: random.Random, client: MilvusClient, number: int) -> None:
        if number not in self.expected or choose.random() < 0.7:
            tenant = f"tenant {choose.randrange(self._tenants)}"
            client.upsert(self._name, [row(number, tenant)])
            self.expected[number] = f"of {tenant} {number}"
        else:
            client.delete(self._name, ids=[number])
            del self.expected[number]


def tenant_of(number: int) -> str:
    return f"tenant {number % 7}"


def test_nothing_is_lost_under_writes_and_kills(server: MilvusServer, tmp_path: Path) -> None:
    """Rows change hands between tenants, new tenants come (not on a bare Lite, which fails if it is changed twice at
    once), rows are deleted, and the job is killed."""
    name, draw = next(names), random.Random(4)
    with serving_milvus(tmp_path, server, POLICY) as proxy, proxy.client() as client:
        make(client, name)
        client.insert(name, [row(number, tenant_of(number)) for number in range(ROWS)])
        with Writers(proxy, name, 7 if "lite" in server.log.name else 11) as writers:
            for _ in range(2):
                command = rotate_command(server, proxy, name)
                job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(draw.uniform(5.0, 8.5))
                job.send_signal(signal.SIGKILL)
                job.wait()
            done = run(rotate_command(server, proxy, name))
        assert done.returncode == 0, done.stderr
        assert writers.failures == []
        time.sleep(MAX_AGE_S + 0.2)
        assert {n: found["secret"] for n, found in everything(client, name).items()} == writers.expected
        assert faults(proxy, server, name) == {}
        whose = {n: secret.rsplit(" ", 1)[0].removeprefix("of ") for n, secret in writers.expected.items()}
        for tenant in ("tenant 1", "tenant 4"):
            wanted = {n for n, who in whose.items() if who == tenant and n % 2 == 0}
            assert keys(client, name, f"org == '{tenant}' and city == 'Ulm'") == wanted
        shredded(proxy, server, name, "tenant 2", settle=MAX_AGE_S + 0.2)
        assert keys(client, name, "pk >= 0") == {n for n, who in whose.items() if who != "tenant 2"}
        client.drop_collection(name)
