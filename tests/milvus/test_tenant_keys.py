"""Keys of each tenant's own before Milvus: what is written under whose, what is refused, and what a shred leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from vecguard.catalog import MAX_AGE_S
from vecguard.config import Settings, parse_upstream
from vecguard.errors import TenantShredded
from vecguard.front.milvus.metadata import read_manifest
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import open_core, open_tenants
from vecguard.model import Caller
from vecguard.upkeep.access import open_database
from vecguard.upkeep.shred_tenant import TenantShred, shred_tenant

pytestmark = pytest.mark.slow

DIMS = 8
POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "many*"
    tenant_keys: {field: org}
    payload: {fields: {org: searchable, city: searchable, age: range, open: plain}}
  - match: "numbers*"
    tenant_keys: {field: org}
    payload: {fields: {org: plain}}
"""
CITIES = ("Ulm", "Bonn")


@pytest.fixture(scope="module")
def proxy(lite: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    with serving_milvus(tmp_path_factory.mktemp("tenants"), lite, POLICY) as running:
        yield running


@pytest.fixture
def client(proxy: MilvusProxy) -> Iterator[MilvusClient]:
    with proxy.client() as made:
        yield made
        for name in made.list_collections():
            if name.startswith(("many", "numbers")):
                made.drop_collection(name)


def make(client: MilvusClient, name: str, org: DataType = DataType.VARCHAR, **bounds: Any) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("org", org, **({"max_length": 32} if org is DataType.VARCHAR else {}), **bounds)
    schema.add_field("city", DataType.VARCHAR, max_length=32)
    schema.add_field("age", DataType.INT64)
    schema.add_field("secret", DataType.VARCHAR, max_length=64)
    schema.add_field("doc", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.load_collection(name)


def vector(number: int) -> list[float]:
    return [float(x) for x in np.random.default_rng(number).standard_normal(DIMS).astype(np.float32)]


def row(number: int, org: object) -> dict[str, Any]:
    return {
        "pk": number,
        "v": vector(number),
        "org": org,
        "city": CITIES[number % 2],
        "age": number,
        "secret": f"of {org} {number}",
        "doc": {"a": number, "b": ["x", str(number)]},
        "free": f"dynamic {number}",
    }


def filled(client: MilvusClient, name: str) -> None:
    make(client, name)
    # Rows of both tenants turn about in one write.
    client.insert(name, [row(number, ("ada", "bob")[number % 2]) for number in range(8)])


def keys(client: MilvusClient, name: str, expression: str) -> set[int]:
    return {found["pk"] for found in client.query(name, filter=expression, output_fields=["pk", "secret"])}


def settings_of(proxy: MilvusProxy, server: MilvusServer) -> Settings:
    address = parse_upstream(f"milvus://{server.target}")
    return Settings(upstream=(address,), key=f"file:{proxy.key_file}", policy=proxy.policy)


def shredded(proxy: MilvusProxy, server: MilvusServer, name: str, tenant: str, settle: float = 0.0) -> TenantShred:
    async def run() -> TenantShred:
        async with open_database(settings_of(proxy, server)) as database:
            return (await shred_tenant(database, name, tenant, lambda event, **fields: None, settle_s=settle))[0]

    return asyncio.run(run())


def test_rows_of_all_tenants_are_read_and_filtered(client: MilvusClient) -> None:
    name = "many_read"
    filled(client, name)
    found = client.query(name, filter="pk >= 0", output_fields=["*"])
    for got in found:
        wanted = row(got["pk"], ("ada", "bob")[got["pk"] % 2])
        assert np.allclose(got.pop("v"), wanted.pop("v"), atol=1e-4)
        assert dict(got) == wanted
    assert len(found) == 8
    assert keys(client, name, "city == 'Ulm'") == {0, 2, 4, 6}
    assert keys(client, name, "city == 'Ulm' and org == 'ada'") == {0, 2, 4, 6}
    assert keys(client, name, "org in ['bob', 'zoe'] and city == 'Ulm'") == set()
    assert keys(client, name, "org == 'bob' and (city == 'Bonn' and age > 3)") == {5, 7}
    assert keys(client, name, "age >= 2 and age < 5") == {2, 3, 4}
    assert keys(client, name, "(org == 'ada' and city == 'Ulm') or org == 'bob'") == set(range(8))
    hits = client.search(name, data=[vector(3)], limit=8, output_fields=["secret"])[0]
    assert hits[0]["entity"]["secret"] == "of bob 3"
    assert set(hits.ids) == set(range(8))
    hits = client.search(name, data=[vector(3)], limit=8, filter="org == 'ada' and city == 'Ulm'")[0]
    assert set(hits.ids) == {0, 2, 4, 6}
    groups = client.search(name, data=[vector(0)], limit=2, group_by_field="city", output_fields=["city"])[0]
    assert {hit["entity"]["city"] for hit in groups} == {"Ulm", "Bonn"}


def test_rows_name_their_keys_and_clients_do_not_see_it(client: MilvusClient, lite: MilvusServer) -> None:
    name = "many_marks"
    filled(client, name)
    client.insert(name, [row(8, "adalbert-stifter")])
    assert "_vgk" not in str(client.describe_collection(name))
    assert "_vgk" not in str(client.query(name, filter="pk == 0", output_fields=["*"]))
    with pytest.raises(MilvusException):
        client.query(name, filter="_vgk > 0", output_fields=["pk"])
    with lite.client() as bare:
        stored = bare.query(name, filter="pk >= 0", output_fields=["pk", "_vgk", "org", "city"])
        properties = bare.describe_collection(name)["properties"]
    marks = {found["pk"]: found["_vgk"] for found in stored}
    assert len({marks[i] for i in (0, 2, 4, 6)}) == len({marks[i] for i in (1, 3, 5, 7)}) == 1
    assert len(set(marks.values())) == 3
    assert {key for key in properties if ".tenant." in key} == {
        f"_vg.tenant.{mark:08x}" for mark in set(marks.values())
    }
    assert "adalbert" not in str(stored)  # shorter names may stand in a token by chance


def test_a_row_that_is_written_again_may_have_another_tenant(client: MilvusClient) -> None:
    name = "many_moved"
    filled(client, name)
    client.upsert(name, [row(0, "bob"), row(1, "cleo")])
    assert keys(client, name, "org == 'bob' and city == 'Ulm'") == {0}
    assert keys(client, name, "org == 'cleo' and city == 'Bonn'") == {1}
    client.delete(name, filter="org == 'bob' and city == 'Ulm'")
    assert keys(client, name, "pk >= 0") == {1, 2, 3, 4, 5, 6, 7}


def test_what_would_take_a_row_from_its_tenant_is_refused(client: MilvusClient) -> None:
    name = "many_refused"
    filled(client, name)
    with pytest.raises(MilvusException, match="rows are written whole"):
        client.upsert(name, [{"pk": 0, "secret": "x"}], partial_update=True)
    nobodys = {key: value for key, value in row(9, "ada").items() if key != "org"}
    with pytest.raises(Exception, match="org"):
        client.insert(name, [nobodys])
    assert keys(client, name, "pk >= 0") == set(range(8))


@pytest.mark.parametrize(
    ("org", "bounds"),
    [(DataType.DOUBLE, {}), (DataType.VARCHAR, {"nullable": True}), (DataType.VARCHAR, {"default_value": "x"})],
)
def test_a_column_that_need_not_say_whose_a_row_is_is_refused(
    client: MilvusClient, org: DataType, bounds: dict[str, Any]
) -> None:
    with pytest.raises(MilvusException, match=r"tenant_keys needs a column|neither be null nor have a default"):
        make(client, "many_odd", org, **bounds)


def test_whole_numbers_may_say_it(client: MilvusClient) -> None:
    make(client, "numbers_a", DataType.INT64)
    client.insert("numbers_a", [row(number, 10 + number % 2) for number in range(4)])
    assert keys(client, "numbers_a", "org == 11") == {1, 3}


@pytest.mark.slow
def test_a_shred_leaves_the_others(client: MilvusClient, proxy: MilvusProxy, lite: MilvusServer) -> None:
    name = "many_shred"
    filled(client, name)
    with lite.client() as bare:
        (copy,) = bare.query(name, filter="pk == 0", output_fields=["*"])
    proof = shredded(proxy, lite, name, "ada", settle=MAX_AGE_S + 0.2)
    assert (proof.records, len(proof.before), proof.before.keys()) == (4, 1, proof.after.keys())
    assert keys(client, name, "pk >= 0") == {1, 3, 5, 7}
    with pytest.raises(MilvusException, match=TenantShredded.TEXT):
        client.insert(name, [row(10, "ada")])
    client.insert(name, [row(11, "bob")])
    # A row that comes back from a backup: refused by its key, left out of what did not ask for it.
    with lite.client() as bare:
        bare.insert(name, [copy])
    assert keys(client, name, "age > 0 or city == 'Ulm'") == {1, 3, 5, 7, 11}
    hits = client.search(name, data=[vector(0)], limit=10)[0]
    assert set(hits.ids) == {1, 3, 5, 7, 11}

    async def thief() -> tuple[int, int]:
        """Keys that the KEK and all properties still open, and those that are gone."""
        async with open_database(settings_of(proxy, lite)) as database:
            stored = await read_manifest(database.upstream, f"default/{name}", Caller())
            assert stored is not None
            assert proxy.key_file is not None
            manifest, ring = open_core(stored.core, FileKeyProvider(proxy.key_file))
            found = open_tenants(stored.tenants, manifest, ring)
            shield = await database.shield(name)
            assert shield is not None
            faults = [
                one.faults async for page in database.front.inspect(database.upstream, name, shield) for one in page
            ]
            assert ("keys of its tenant destroyed",) in faults
            return len(found.numbers), len(found.destroyed)

    assert asyncio.run(thief()) == (1, 1)
    assert shredded(proxy, lite, name, "ada").records == 1


@pytest.mark.slow
def test_a_real_server(real: MilvusServer, tmp_path: Path) -> None:
    """Milvus 2.3: no upsert, one vector, and strings in its properties as Lite has them."""
    name = "many_real"
    with serving_milvus(tmp_path, real, POLICY) as running, running.client() as client:
        filled(client, name)
        assert keys(client, name, "org == 'ada' and city == 'Ulm'") == {0, 2, 4, 6}
        assert set(client.search(name, data=[vector(3)], limit=8)[0].ids) == set(range(8))
        meet(running, real, client, name, tmp_path / "second")
        assert shredded(running, real, name, "ada", settle=MAX_AGE_S + 0.2).records == 4
        assert keys(client, name, "pk >= 0 and pk < 100") == {1, 3, 5, 7}
        with pytest.raises(MilvusException, match=TenantShredded.TEXT):
            client.insert(name, [row(10, "ada")])
        client.drop_collection(name)


def meet(first: MilvusProxy, server: MilvusServer, client: MilvusClient, name: str, folder: Path) -> None:
    """Two proxies meet the same new tenants at once: nothing is lost. (Bare Milvus Lite fails if it is changed twice at
    once; the embedded one is asked one thing after another.)"""
    with serving_milvus(folder, server, POLICY, key_file=first.key_file) as other, other.client() as second:
        keys(second, name, "pk >= 0")
        barrier = threading.Barrier(2)

        def write(face: MilvusClient, start: int) -> None:
            for number in range(4):
                barrier.wait(60)
                face.insert(name, [row(start + number, f"new-{number}")])

        threads = [threading.Thread(target=write, args=pair) for pair in ((client, 100), (second, 200))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        for face in (client, second):
            assert len(keys(face, name, "pk >= 100")) == 8
