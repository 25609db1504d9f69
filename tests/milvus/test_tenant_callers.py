"""Callers that say themselves whose they are (`tenant_keys: {attribute: ...}`) before Milvus: each has its rows alone.

Before Milvus Lite and before the real Milvus 2.3.5, which answers reads from other processes than it writes by.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from pymilvus import AnnSearchRequest, DataType, MilvusClient, RRFRanker
from pymilvus.exceptions import MilvusException
from tenant_callers import CALLERS, api_keys

from milvus.each_rpc import DENIED, answered, ask_of
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import CALL_S, MilvusServer
from milvus.test_tenant_keys import settings_of, shredded
from vecguard.catalog import MAX_AGE_S
from vecguard.errors import TenantShredded
from vecguard.front.milvus.table import ROUTES
from vecguard.upkeep.access import open_database
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEW = tuple(f"new-{number}" for number in range(24))
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
{api_keys(CALLERS | {tenant: f"{{org: {tenant}}}" for tenant in NEW})}
collections:
  - match: "own_direct*"
    tenant_keys: {{attribute: org}}
    vectors: [{{transforms: [{{kind: rotation}}]}}]
    payload: {{fields: &modes {{city: searchable, age: range, open: plain}}}}
  - match: "own_hidden*"
    tenant_keys: {{attribute: org}}
    ids: encrypted
    payload: {{fields: *modes, hash_names: true}}
  - match: "*"
    tenant_keys: {{attribute: org}}
    payload: {{fields: *modes}}
"""
KINDS = ("own", "own_direct", "own_hidden")
DIMS = 4
ADAS, BOBS = {1, 2, 3, 4}, {11, 12, 13, 14}
NEAR = [[1.0, 0.1, 0.1, 0.5]]
OF_NOBODY = "needs the attribute `org`, with one value"
OF_ALL = "may not touch: it needs a caller that is no tenant of the collection"


def of(proxy: MilvusProxy, name: str) -> MilvusClient:
    return MilvusClient(proxy.uri, token=f"vgk_{name}", timeout=CALL_S)


@pytest.fixture(scope="module")
def proxy(server: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    with serving_milvus(tmp_path_factory.mktemp("callers"), server, POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def ada(proxy: MilvusProxy) -> MilvusClient:
    return of(proxy, "ada")


@pytest.fixture(scope="module")
def bob(proxy: MilvusProxy) -> MilvusClient:
    return of(proxy, "bob")


@pytest.fixture(scope="module")
def nobody(proxy: MilvusProxy) -> MilvusClient:
    return of(proxy, "nobody")


@pytest.fixture(scope="module")
def made(ada: MilvusClient, nobody: MilvusClient) -> Iterator[None]:
    """One collection of each kind, made, indexed and loaded by a tenant."""
    for name in KINDS:
        make(ada, name)
    yield
    for name in KINDS:
        nobody.drop_collection(name)


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest, made: None, ada: MilvusClient, bob: MilvusClient) -> str:
    """A collection with both tenants' rows as they were at first."""
    filled(ada, bob, str(request.param))
    return str(request.param)


@pytest.fixture
def fresh(ada: MilvusClient, bob: MilvusClient, nobody: MilvusClient) -> Iterator[str]:
    """A collection of a test's own."""
    name = f"fresh_{time.monotonic_ns()}"
    make(ada, name)
    filled(ada, bob, name)
    yield name
    nobody.drop_collection(name)


def make(client: MilvusClient, name: str) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("city", DataType.VARCHAR, max_length=32)
    schema.add_field("age", DataType.INT64)
    schema.add_field("open", DataType.VARCHAR, max_length=32)
    schema.add_field("secret", DataType.VARCHAR, max_length=64)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def filled(ada: MilvusClient, bob: MilvusClient, name: str) -> None:
    for client, tenant, keys in ((ada, "ada", ADAS), (bob, "bob", BOBS)):
        client.delete(name, filter="age >= 0")
        client.insert(name, [row(key, tenant) for key in sorted(keys)])


def row(key: int, tenant: str, **more: Any) -> dict[str, Any]:
    vector = [1.0, (key % 10) / 10, 0.1 if key > 10 else 0.0, 0.5]
    said = {"city": ("Ulm", "Bonn")[key % 2], "age": key, "open": tenant, "secret": f"of {tenant} {key}"}
    return {"pk": key, "v": vector, **said, "free": f"dynamic {tenant}", **more}


def whole(client: MilvusClient, name: str) -> list[dict[str, Any]]:
    """All that a caller sees, by its keys."""
    found = client.query(name, filter="age >= 0", output_fields=["*"])
    return sorted((dict(one) for one in found), key=lambda one: int(one["pk"]))


def pks(rows: Any) -> set[int]:
    return {one["pk"] for one in rows}


def seen(client: MilvusClient, name: str, text: str = "age >= 0") -> set[int]:
    return pks(client.query(name, filter=text, output_fields=["pk", "secret"]))


def hits(found: Any) -> set[int]:
    return {hit.id for query in found for hit in query}


def refusal(call: Callable[[], object]) -> str:
    """What a call is refused with; nothing where it is not."""
    try:
        call()
    except MilvusException as refused:
        return str(refused.message)
    return ""


def fused(client: MilvusClient, name: str, *filters: str) -> Any:
    requests = [AnnSearchRequest(NEAR, "v", {}, limit=10, expr=text) for text in filters]
    return client.hybrid_search(name, requests, ranker=RRFRanker(), limit=20)


def has_hybrid(request: pytest.FixtureRequest, name: str) -> bool:
    """Whether there is HybridSearch: Milvus 2.3 has none, but where the proxy runs the searches."""
    return not (name.startswith("own_direct") and request.node.callspec.params["server"] == "real")


def counted(client: MilvusClient, name: str, text: str = "") -> int:
    return int(client.query(name, filter=text, output_fields=["count(*)"])[0]["count(*)"])


def test_queries_and_gets_show_own_rows(name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    assert (seen(ada, name), seen(bob, name)) == (ADAS, BOBS)
    assert {one["secret"] for one in whole(ada, name)} == {f"of ada {key}" for key in ADAS}
    assert "_vgk" not in str(whole(ada, name)) + str(ada.describe_collection(name))
    assert (seen(ada, name, "city == 'Ulm'"), seen(bob, name, "city == 'Ulm'")) == ({2, 4}, {12, 14})
    assert (seen(ada, name, "age >= 3"), seen(bob, name, "age < 13")) == ({3, 4}, {11, 12})
    assert pks(ada.get(name, ids=[1, 11])) == {1}
    assert pks(ada.query(name, filter="", limit=100)) == ADAS
    for text in ("open == 'bob'", "open == 'bob' or age > 0", "not (open == 'ada')", "pk in [11, 12]", "city != 'x'"):
        assert seen(ada, name, text) <= ADAS
    for text in ("_vgk > 0", "_vgk in [1]", "$meta['_vgk'] > 0"):
        with pytest.raises(MilvusException):
            ada.query(name, filter=text, output_fields=["pk"])
    assert (counted(ada, name), counted(ada, name, "age > 10"), counted(bob, name, "age > 10")) == (4, 0, 4)


def test_iterators_show_own_rows(name: str, ada: MilvusClient) -> None:
    queried = ada.query_iterator(name, filter="", batch_size=2)
    found = set[int]()
    while page := queried.next():
        found |= pks(page)
    assert found == ADAS
    searched = ada.search_iterator(name, NEAR, batch_size=2, search_params={"metric_type": "COSINE"})
    found = set[int]()
    while page := searched.next():
        found |= {hit.id for hit in page}
    assert found == ADAS


def test_searches_find_own_rows(
    request: pytest.FixtureRequest, name: str, ada: MilvusClient, bob: MilvusClient
) -> None:
    assert hits(ada.search(name, NEAR, limit=20)) == ADAS
    assert hits(bob.search(name, NEAR, limit=20, filter="city == 'Ulm'")) == {12, 14}
    found = ada.search(name, NEAR, limit=20, output_fields=["*"])
    assert {hit["entity"]["secret"] for query in found for hit in query} == {f"of ada {key}" for key in ADAS}
    for text in ("open == 'bob'", "open == 'bob' or age > 0", "city in ['Ulm', 'Bonn']", "pk > 0"):
        if not (name == "own_hidden" and text == "pk > 0"):
            assert hits(ada.search(name, NEAR, limit=20, filter=text)) <= ADAS
    if has_hybrid(request, name):
        assert hits(fused(ada, name, "open == 'bob'", "", "age > 0")) == ADAS


def test_groupings_have_own_rows(name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    for client, own, tenant in ((ada, ADAS, "ada"), (bob, BOBS, "bob")):
        found = client.search(name, NEAR, limit=5, group_by_field="open", output_fields=["open"])
        assert {hit["entity"]["open"] for query in found for hit in query} == {tenant}
        assert hits(found) <= own
        if name == "own_direct":
            with pytest.raises(MilvusException, match="its values differ by tenant"):
                client.search(name, NEAR, limit=5, group_by_field="city")
        else:
            found = client.search(name, NEAR, limit=5, group_by_field="city", output_fields=["city"])
            assert {hit["entity"]["city"] for query in found for hit in query} == {"Ulm", "Bonn"}
            assert hits(found) <= own


def test_searching_by_anothers_row_is_as_if_it_were_not_there(name: str, ada: MilvusClient) -> None:
    if name != "own_direct":  # older servers have no such search
        assert hits(ada.search(name, ids=[1], limit=20)) <= ADAS
    with pytest.raises(MilvusException, match=r"do not exist|does not exist"):
        ada.search(name, ids=[11], limit=20)


def test_a_caller_without_rows_sees_and_touches_none_and_begins_to_have_some(
    request: pytest.FixtureRequest, proxy: MilvusProxy, ada: MilvusClient, bob: MilvusClient, nobody: MilvusClient
) -> None:
    for kind in KINDS:
        name, seven = f"{kind}_empty", of(proxy, "seven")
        make(ada, name)
        filled(ada, bob, name)
        for text in ("age >= 0", "city == 'Ulm'", "city != 'Ulm'", "age < 3", "not (city in ['Ulm'])", "pk in [1, 11]"):
            assert seen(seven, name, text) == set(), text
        assert counted(seven, name) == 0
        assert hits(seven.search(name, NEAR, limit=20)) == set()
        assert hits(seven.search(name, NEAR, limit=20, filter="city != 'Ulm'")) == set()
        if has_hybrid(request, name):
            assert hits(fused(seven, name, "")) == set()
        assert seven.query_iterator(name, filter="", batch_size=2).next() == []
        seven.delete(name, filter="age >= 0")
        seven.delete(name, ids=[1, 11])
        assert (seen(ada, name), seen(bob, name)) == (ADAS, BOBS)
        with pytest.raises(MilvusException, match="outside the rows of `seven`"):
            seven.insert(name, [row(1, "seven")])
        seven.insert(name, [row(70, "seven")])
        assert (seen(seven, name), seen(seven, name, "city == 'Ulm'"), seen(ada, name)) == ({70}, {70}, ADAS)
        nobody.drop_collection(name)


def test_own_rows_are_written_and_deleted(name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    others = whole(bob, name)
    ada.insert(name, [row(5, "ada")])
    ada.upsert(name, [row(1, "ada", city="Köln"), row(6, "ada")])
    assert seen(ada, name, "city == 'Köln'") == {1}
    assert seen(ada, name) == ADAS | {5, 6}
    ada.delete(name, ids=[5])
    ada.delete(name, filter="city == 'Köln'")
    assert seen(ada, name) == {2, 3, 4, 6}
    ada.delete(name, filter="age >= 0")
    assert seen(ada, name) == set()
    assert whole(bob, name) == others


@pytest.mark.parametrize("rows", [[row(11, "ada")], [row(5, "ada"), row(12, "ada")], [row(1, "ada"), row(14, "ada")]])
def test_anothers_key_is_not_written(
    name: str, ada: MilvusClient, bob: MilvusClient, rows: list[dict[str, Any]]
) -> None:
    before = whole(ada, name), whole(bob, name)
    for write in (ada.insert, ada.upsert):
        with pytest.raises(MilvusException, match="a row with such a key is there already, outside the rows of `ada`"):
            write(name, rows)
        assert (whole(ada, name), whole(bob, name)) == before


def test_deletions_leave_anothers_rows(name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    others = whole(bob, name)
    ada.delete(name, ids=[11, 12])
    for text in ("open == 'bob'", "city == 'Ulm' or age > 0", "age > 10", "pk in [11, 12]"):
        ada.delete(name, filter=text)
    assert whole(bob, name) == others


def test_of_two_tenants_that_write_a_key_at_once_one_has_it(name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    clients, together = {"ada": ada, "bob": bob}, threading.Barrier(2)

    def write(tenant: str, key: int) -> str:
        together.wait()
        try:
            clients[tenant].upsert(name, [row(key, tenant)])
        except MilvusException as refused:
            return str(refused.message)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        for key in range(100, 108):
            first, second = pool.map(write, clients, [key, key])
            owner, other, refused = (ada, bob, second) if first == "done" else (bob, ada, first)
            assert "done" in (first, second)
            assert "a row with such a key is there already" in refused
            assert (seen(owner, name, f"pk == {key}"), seen(other, name, f"pk == {key}")) == ({key}, set())


def test_rows_are_under_their_tenants_key(name: str, server: MilvusServer, ada: MilvusClient) -> None:
    with server.client() as bare:
        stored = bare.query(name, filter="_vgk > 0", output_fields=["_vgk", "open"])
        properties = bare.describe_collection(name)["properties"]
    marks = {(found["open"], found["_vgk"]) for found in stored}
    assert len(stored) == 8
    assert sorted(tenant for tenant, _ in marks) == ["ada", "bob"]
    assert {f"_vg.tenant.{mark:08x}" for _, mark in marks} <= set(properties)
    ada.upsert(name, [row(1, "ada")])
    with server.client() as bare:
        again = bare.query(name, filter="_vgk > 0", output_fields=["_vgk", "open"])
    assert {(found["open"], found["_vgk"]) for found in again} == marks


def test_rows_are_written_whole(server: MilvusServer, name: str, ada: MilvusClient, bob: MilvusClient) -> None:
    before = whole(ada, name), whole(bob, name)
    for key in (1, 11):
        with pytest.raises(MilvusException, match=r"rows are written whole|outside the rows of"):
            ada.upsert(name, [{"pk": key, "secret": "x"}], partial_update=True)
    assert (whole(ada, name), whole(bob, name)) == before


def test_many_new_tenants_write_at_once(proxy: MilvusProxy, ada: MilvusClient, nobody: MilvusClient) -> None:
    """Each makes its key within its turn, while the others wait for theirs."""
    name, count = "own_many", len(NEW)
    make(ada, name)
    clients, together = [of(proxy, tenant) for tenant in NEW], threading.Barrier(count)

    def write(number: int) -> None:
        together.wait()
        clients[number].insert(name, [row(number, NEW[number])])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(write, range(count)))
    assert [seen(client, name) for client in clients] == [{number} for number in range(count)]
    nobody.drop_collection(name)


def test_keys_that_the_database_makes(ada: MilvusClient, bob: MilvusClient, nobody: MilvusClient) -> None:
    name = "own_auto"
    schema = ada.create_schema(auto_id=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("secret", DataType.VARCHAR, max_length=64)
    index = ada.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    ada.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    for client, tenant in ((ada, "ada"), (bob, "bob")):
        client.insert(name, [{"v": NEAR[0], "secret": f"of {tenant}"}])
    (bobs,) = seen(bob, name, "pk > 0")
    with pytest.raises(MilvusException, match="outside the rows of `ada`"):
        ada.upsert(name, [{"pk": bobs, "v": NEAR[0], "secret": "of ada"}])
    ada.delete(name, ids=[bobs])
    for client, tenant in ((ada, "ada"), (bob, "bob")):
        found = client.query(name, filter="pk > 0", output_fields=["secret"])
        assert [one["secret"] for one in found] == [f"of {tenant}"]
        (near,) = client.search(name, NEAR, output_fields=["secret"])
        assert [hit["entity"]["secret"] for hit in near] == [f"of {tenant}"]
    nobody.drop_collection(name)


def test_an_alias_is_held_likewise(name: str, ada: MilvusClient, bob: MilvusClient, nobody: MilvusClient) -> None:
    alias = f"{name}_called"
    with pytest.raises(MilvusException, match=OF_ALL):
        ada.create_alias(name, alias)
    nobody.create_alias(name, alias)
    try:
        assert (seen(ada, alias), seen(bob, alias), counted(ada, alias)) == (ADAS, BOBS, 4)
        with pytest.raises(MilvusException, match="outside the rows of `ada`"):
            ada.upsert(alias, [row(11, "ada")])
        ada.delete(alias, filter="age >= 0")
        assert (seen(ada, name), seen(bob, name)) == (set(), BOBS)
        for call in (lambda: ada.drop_alias(alias), lambda: ada.alter_alias("own", alias)):
            with pytest.raises(MilvusException, match=OF_ALL):
                call()
    finally:
        nobody.drop_alias(alias)


@pytest.mark.parametrize("who", ["nobody", "two"])
def test_whoever_does_not_say_one_thing_is_refused(name: str, proxy: MilvusProxy, ada: MilvusClient, who: str) -> None:
    caller = of(proxy, who)
    for call in (
        lambda: caller.query(name, filter="age >= 0", output_fields=["pk"]),
        lambda: caller.query(name, filter="", output_fields=["count(*)"]),
        lambda: caller.search(name, NEAR, limit=3),
        lambda: fused(caller, name, ""),
        lambda: caller.insert(name, [row(60, "ada")]),
        lambda: caller.upsert(name, [row(1, "ada")]),
        lambda: caller.delete(name, filter="age >= 0"),
        lambda: caller.delete(name, ids=[1]),
    ):
        with pytest.raises(MilvusException, match=OF_NOBODY):
            call()
    assert seen(ada, name) == ADAS


def test_what_concerns_all_rows_is_for_no_tenant(fresh: str, proxy: MilvusProxy, bob: MilvusClient) -> None:
    refused: list[tuple[str, Callable[[MilvusClient], object]]] = [
        ("DropCollection", lambda client: client.drop_collection(fresh)),
        ("ReleaseCollection", lambda client: client.release_collection(fresh)),
        ("ttl", lambda client: client.alter_collection_properties(fresh, {"collection.ttl.seconds": "1"})),
        ("DropIndex", lambda client: client.drop_index(fresh, "v")),
        ("CreatePartition", lambda client: client.create_partition(fresh, "p")),
        ("DropPartition", lambda client: client.drop_partition(fresh, "_default")),
        ("GetCollectionStatistics", lambda client: client.get_collection_stats(fresh)),
        ("GetPartitionStatistics", lambda client: client.get_partition_stats(fresh, "_default")),
        ("RenameCollection", lambda client: client.rename_collection(fresh, f"{fresh}_x")),
        ("field", lambda client: client.add_collection_field(fresh, "more", DataType.INT64, nullable=True)),
        ("compact", lambda client: client.compact(fresh)),
        ("FlushAll", lambda client: client.flush_all()),
        ("database", lambda client: client.create_database("theirs")),
    ]
    for who in ("ada", "two"):
        for what, call in refused:
            said = refusal(partial(call, of(proxy, who)))
            assert OF_ALL in said or (who == "two" and OF_NOBODY in said), (who, what, said)
    assert seen(bob, fresh) == BOBS


def test_who_is_no_tenant_makes_changes_and_drops_collections(
    proxy: MilvusProxy, ada: MilvusClient, bob: MilvusClient, nobody: MilvusClient
) -> None:
    name = f"operated_{time.monotonic_ns()}"
    make(nobody, name)
    filled(ada, bob, name)
    assert nobody.has_collection(name)
    assert {field["name"] for field in nobody.describe_collection(name)["fields"]} >= {"pk", "v", "city"}
    assert "_vgk" not in str(nobody.describe_collection(name))
    nobody.release_collection(name)
    nobody.load_collection(name)
    assert (seen(ada, name), seen(bob, name)) == (ADAS, BOBS)
    assert nobody.describe_index(name, "v")["metric_type"] == "COSINE"
    described = ada.describe_index(name, "v")
    assert not any(described.get(number) for number in ("total_rows", "indexed_rows", "pending_index_rows"))
    nobody.rename_collection(name, f"{name}_new")
    nobody.load_collection(f"{name}_new")
    assert (seen(ada, f"{name}_new"), seen(bob, f"{name}_new")) == (ADAS, BOBS)
    nobody.drop_collection(f"{name}_new")
    assert not nobody.has_collection(f"{name}_new")


# What tenants may call: it shows and changes no row, declares something, or is held to their own rows.
OPEN = {
    *("Connect", "GetVersion", "CheckHealth", "GetComponentStates", "AllocTimestamp", "HasCollection"),
    *("ShowCollections", "DescribeCollection", "BatchDescribeCollection", "HasPartition", "ShowPartitions"),
    *("DescribeAlias", "ListAliases", "ListDatabases", "DescribeDatabase", "LoadCollection", "LoadPartitions"),
    *("GetLoadingProgress", "GetLoadState", "GetIndexState", "Flush", "GetFlushState", "GetFlushAllState"),
    *("CreateCollection", "CreateIndex", "DescribeIndex"),
    "GetCompactionState",  # progress of a number that who is no tenant alone is told
}
HELD = {"Query", "Search", "HybridSearch", "Delete", "Insert", "Upsert"}
# These may be refused as malformed before anything is asked; the tests above send good ones.
MALFORMED = {"AlterCollectionField", "AddCollectionField", "AlterCollectionSchema"}


@pytest.fixture(scope="module")
def scratch(ada: MilvusClient, nobody: MilvusClient) -> Iterator[str]:
    make(ada, "scratch")
    ada.insert("scratch", [row(1, "ada")])
    yield "scratch"
    nobody.drop_collection("scratch")


@pytest.mark.parametrize("path", ROUTES)
def test_each_rpc_is_open_to_tenants_only_if_this_says_so(proxy: MilvusProxy, scratch: str, path: str) -> None:
    method = path.rpartition("/")[2]
    code, text = answered(proxy, "vgk_bob", path, ask_of(path, scratch))
    if ROUTES[path].handling == "refused":
        assert code in (10, -1)
    elif method in HELD | OPEN:
        assert code != DENIED, text
    elif method in MALFORMED:
        assert code in (DENIED, 1100), text
    else:
        assert (code, OF_ALL in text) == (DENIED, True), text


@pytest.mark.parametrize("path", ROUTES)
def test_each_rpc_is_open_to_who_is_no_tenant_unless_it_is_about_rows(
    proxy: MilvusProxy, scratch: str, path: str
) -> None:
    method = path.rpartition("/")[2]
    if method in ("DropCollection", "DropDatabase", "ReleaseCollection"):  # the other tests have them
        return
    code, text = answered(proxy, "vgk_nobody", path, ask_of(path, scratch))
    assert (code == DENIED and OF_NOBODY in text) == (method in HELD), text
    if method not in HELD:
        assert code != DENIED, text


def test_a_shredded_caller_is_told_so_and_the_others_go_on(
    fresh: str, proxy: MilvusProxy, server: MilvusServer, ada: MilvusClient, bob: MilvusClient
) -> None:
    assert shredded(proxy, server, fresh, "ada", settle=MAX_AGE_S + 0.2).records == 4
    for call in (
        lambda: seen(ada, fresh),
        lambda: counted(ada, fresh),
        lambda: ada.search(fresh, NEAR, limit=3),
        lambda: ada.get(fresh, ids=[1]),
        lambda: ada.insert(fresh, [row(1, "ada")]),
        lambda: ada.delete(fresh, filter="age >= 0"),
    ):
        with pytest.raises(MilvusException, match=TenantShredded.TEXT):
            call()
    assert seen(bob, fresh) == BOBS
    bob.insert(fresh, [row(15, "bob")])
    assert seen(bob, fresh, "city == 'Bonn'") == {11, 13, 15}


def test_a_rotation_gives_each_a_new_key_and_all_see_their_own_throughout(
    fresh: str, proxy: MilvusProxy, server: MilvusServer, ada: MilvusClient, bob: MilvusClient
) -> None:
    stages = list[str]()

    def texts() -> list[list[dict[str, Any]]]:
        """What both see, but for vectors, which differ in their last digits."""
        return [[{**one, "v": None} for one in whole(client, fresh)] for client in (ada, bob)]

    def marks() -> set[int]:
        with server.client() as bare:
            return {found["_vgk"] for found in bare.query(fresh, filter="_vgk > 0", output_fields=["_vgk"])}

    def look(number: int) -> None:
        assert texts() == before
        with pytest.raises(MilvusException, match="outside the rows of `bob`"):
            bob.upsert(fresh, [row(1, "bob")])
        ada.upsert(fresh, [row(200 + number, "ada")])
        assert seen(ada, fresh, f"pk == {200 + number}") == {200 + number}
        assert seen(bob, fresh, f"pk == {200 + number}") == set()
        ada.delete(fresh, ids=[200 + number])

    async def run() -> dict[str, tuple[str, ...]]:
        async with open_database(settings_of(proxy, server)) as database:
            async for progress in rotate(database, fresh):
                if progress.stage not in stages:
                    stages.append(progress.stage)
                    await asyncio.to_thread(look, len(stages))
            return dict((await verify(database, fresh)).bad)

    before, was = texts(), marks()
    assert asyncio.run(run()) == {}
    assert stages[-1] == "old key destroyed"
    time.sleep(MAX_AGE_S + 0.2)
    look(0)
    assert len(marks()) == 2
    assert not marks() & was
    assert seen(ada, fresh, "city == 'Ulm'") == {2, 4}
    assert shredded(proxy, server, fresh, "bob", settle=MAX_AGE_S + 0.2).records == 4
    assert seen(ada, fresh) == ADAS
