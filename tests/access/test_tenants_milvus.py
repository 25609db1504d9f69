"""Row filters, RPC by RPC: one tenant neither sees, nor counts, nor changes another's rows. Milvus' whole table,
before Milvus Lite and before the real Milvus 2.3.5, which answers reads from other processes than it writes by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from milvus.each_rpc import DENIED, answered, ask_of
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import lite_server, real_server
from pymilvus import AnnSearchRequest, DataType, MilvusClient, MilvusException, RRFRanker

from vecguard.front.milvus.table import ROUTES
from vecguard.policy.credentials import hash_key

pytestmark = pytest.mark.slow

ROOT, ALPHA, BETA = "vgk_root", "vgk_alpha", "vgk_beta"
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
    - {{name: root, hash: "{hash_key(ROOT)}", roles: [read, write, admin]}}
    - {{name: alpha, hash: "{hash_key(ALPHA)}", roles: [tenant], attributes: {{tenant: alpha}}}}
    - {{name: beta, hash: "{hash_key(BETA)}", roles: [tenant], attributes: {{tenant: beta}}}}
  roles:
    - name: tenant
      grants: [{{collections: ["notes*"], actions: [read, write]}}]
      row_filter: {{tenant_id: {{attribute: tenant}}}}
collections:
  - match: "notes_clear"
    protect: none
  - match: "notes_plain"
    payload: {{default: sealed, fields: {{tenant_id: plain, color: plain}}}}
  - match: "notes_keyed"
    tenant_keys: {{field: tenant_id}}
    payload: {{default: sealed, fields: {{tenant_id: searchable, color: searchable}}}}
  - match: "*"
    payload: {{default: sealed, fields: {{tenant_id: searchable, color: searchable}}}}
"""
KINDS = ("notes", "notes_plain", "notes_dynamic", "notes_keyed")
OWN, FOREIGN = {1, 2, 3, 4}, {11, 12, 13, 14}

# RPCs that a tenant may call, since no row is shown or changed, or those alone that are its own.
HELD = {"Query", "Search", "HybridSearch", "Delete", "Insert", "Upsert", "DescribeIndex"}
SEEN = {
    *(
        "Connect",
        "GetVersion",
        "CheckHealth",
        "GetComponentStates",
        "AllocTimestamp",
        "HasCollection",
        "ShowCollections",
    ),
    *(
        "DescribeCollection",
        "BatchDescribeCollection",
        "HasPartition",
        "ShowPartitions",
        "DescribeAlias",
        "ListAliases",
    ),
    *("ListDatabases", "DescribeDatabase", "LoadCollection", "LoadPartitions", "GetLoadingProgress", "GetLoadState"),
    *("GetIndexState", "Flush", "GetFlushState", "GetFlushAllState"),
    "GetCompactionState",  # progress of a number that root alone is told
}


# These are refused as malformed before anything is asked; the tests below send good ones.
MALFORMED = {"CreateCollection", "AlterCollectionField", "CreateIndex", "AddCollectionField", "AlterCollectionSchema"}


def of(proxy: MilvusProxy, token: str) -> MilvusClient:
    return MilvusClient(f"http://{proxy.target}", token=token)


def row(key: int, tenant: str | None, **more: Any) -> dict[str, Any]:
    vector = [1.0, (key % 10) / 10, 0.1 if key > 10 else 0.0, 0.5]
    named = {} if tenant is None else {"tenant_id": tenant}
    return {"id": key, "vector": vector, "color": "blue" if key > 10 else "red", **named, **more}


@pytest.fixture(scope="module", params=["lite", "real"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which Milvus: Lite, or the real 2.3.5."""
    return str(request.param)


@pytest.fixture(scope="module")
def house(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    folder, served = tmp_path_factory.mktemp("house"), {"lite": lite_server, "real": real_server}[kind]
    with served(folder / "behind") as behind, serving_milvus(folder / "proxy", behind, POLICY) as proxy:
        root = of(proxy, ROOT)
        for name in (*KINDS, "notes_clear", "scratch"):
            schema = root.create_schema(enable_dynamic_field=True)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
            if name != "notes_dynamic":
                schema.add_field("tenant_id", DataType.VARCHAR, max_length=64)
            index = root.prepare_index_params()
            index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
            root.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
        yield proxy


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest, house: MilvusProxy) -> str:
    """A collection with both tenants' rows as they were at first."""
    root, found = of(house, ROOT), str(request.param)
    root.delete(found, filter="id >= 0")
    root.upsert(found, [row(key, "alpha") for key in sorted(OWN)] + [row(key, "beta") for key in sorted(FOREIGN)])
    return found


@pytest.fixture
def alpha(house: MilvusProxy) -> MilvusClient:
    return of(house, ALPHA)


def foreign(house: MilvusProxy, name: str) -> list[Any]:
    """Beta's rows, whole, as root sees them."""
    return whole(house, name, "id > 10")


def whole(house: MilvusProxy, name: str, text: str = "id >= 0") -> list[Any]:
    """Rows, whole, as root sees them, by their keys."""
    rows = of(house, ROOT).query(name, filter=text, output_fields=["*"])
    return sorted((dict(one) for one in rows), key=lambda one: one["id"])


def ids(rows: Any) -> set[int]:
    return {one["id"] for one in rows}


def hits(found: Any) -> set[int]:
    return {hit["id"] for query in found for hit in query}


NEAR = [[1.0, 0.1, 0.1, 0.5]]


def test_queries_and_gets_show_own_rows(name: str, alpha: MilvusClient, house: MilvusProxy) -> None:
    assert ids(alpha.query(name, filter="id >= 0")) == OWN
    assert ids(of(house, BETA).query(name, filter="id >= 0")) == FOREIGN
    assert ids(of(house, ROOT).query(name, filter="id >= 0")) == OWN | FOREIGN
    assert ids(alpha.get(name, ids=[1, 11])) == {1}
    for text in (
        'tenant_id == "beta"',
        'tenant_id == "beta" or tenant_id == "alpha" or id > 0',
        'not (tenant_id == "alpha")',
        'color == "blue"',
        "id in [11, 12]",
        "(id > 0) or (id < 0)",
    ):
        assert ids(alpha.query(name, filter=text)) <= OWN
    assert alpha.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"] == 4
    assert alpha.query(name, filter="id > 10", output_fields=["count(*)"])[0]["count(*)"] == 0


def test_iterators_show_own_rows(name: str, alpha: MilvusClient) -> None:
    iterator, seen = alpha.query_iterator(name, filter="", batch_size=2), set[int]()
    while page := iterator.next():
        seen |= ids(page)
    assert seen == OWN


def test_searches_find_own_rows(name: str, alpha: MilvusClient, house: MilvusProxy) -> None:
    assert hits(of(house, ROOT).search(name, NEAR, limit=20)) == OWN | FOREIGN
    assert hits(alpha.search(name, NEAR, limit=20)) == OWN
    for text in ('tenant_id == "beta"', 'tenant_id == "beta" or id > 0', 'color == "blue"'):
        assert hits(alpha.search(name, NEAR, limit=20, filter=text)) <= OWN
    requests = [
        AnnSearchRequest(NEAR, "vector", {}, limit=10, expr=text) for text in ('tenant_id == "beta"', "", "id > 0")
    ]
    assert hits(alpha.hybrid_search(name, requests, ranker=RRFRanker(), limit=20)) == OWN


def test_searching_by_a_foreign_row_is_as_if_it_were_not_there(name: str, alpha: MilvusClient) -> None:
    assert hits(alpha.search(name, ids=[1], limit=20)) <= OWN
    with pytest.raises(MilvusException, match=r"do not exist|does not exist"):
        alpha.search(name, ids=[11], limit=20)


def test_writes_of_own_rows(name: str, alpha: MilvusClient, house: MilvusProxy) -> None:
    others = foreign(house, name)
    alpha.insert(name, [row(5, "alpha")])
    alpha.upsert(name, [row(1, "alpha", color="green")])
    assert alpha.get(name, ids=[1])[0]["color"] == "green"
    assert ids(alpha.query(name, filter="id >= 0")) == OWN | {5}
    alpha.delete(name, ids=[5])
    alpha.delete(name, filter="id >= 0")
    assert alpha.query(name, filter="id >= 0") == []
    assert foreign(house, name) == others


def test_of_two_tenants_that_write_a_key_at_once_one_has_it(name: str, house: MilvusProxy) -> None:
    tenants = {"alpha": of(house, ALPHA), "beta": of(house, BETA)}
    together = threading.Barrier(len(tenants))

    def write(tenant: str, key: int) -> str:
        together.wait()
        try:
            tenants[tenant].upsert(name, [row(key, tenant)])
        except MilvusException as refused:
            return refused.message
        return "done"

    with ThreadPoolExecutor(len(tenants)) as pool:
        for key in range(100, 115):
            first, second = pool.map(write, tenants, [key, key])
            owner, refused = ("alpha", second) if first == "done" else ("beta", first)
            assert "done" in (first, second)
            assert "a row with such a key is there already" in refused
            rows = of(house, ROOT).query(name, filter=f"id == {key}", output_fields=["tenant_id"])
            assert [one["tenant_id"] for one in rows] == [owner]


@pytest.mark.parametrize(
    "rows",
    [
        [row(5, "beta")],
        [row(5, None)],
        [row(1, "beta")],
        [row(11, "alpha")],
        [row(5, "alpha"), row(12, "alpha")],
        [row(5, "alpha"), row(6, "beta")],
    ],
)
def test_writes_that_are_refused(
    name: str, alpha: MilvusClient, house: MilvusProxy, rows: list[dict[str, Any]]
) -> None:
    before = whole(house, name)
    for write in (alpha.insert, alpha.upsert):
        with pytest.raises(Exception):  # noqa: B017 - pymilvus itself refuses a row without a declared column
            write(name, rows)
        assert whole(house, name) == before


def test_deletions_leave_foreign_rows(name: str, alpha: MilvusClient, house: MilvusProxy) -> None:
    others = foreign(house, name)
    alpha.delete(name, ids=[11, 12])
    for text in ('tenant_id == "beta"', 'color == "blue" or id > 0', "id > 10"):
        alpha.delete(name, filter=text)
    assert foreign(house, name) == others


def test_indexes_are_described_without_counts(name: str, alpha: MilvusClient) -> None:
    described = alpha.describe_index(name, "vector")
    assert described["metric_type"] == "COSINE"
    assert not any(described.get(number) for number in ("total_rows", "indexed_rows", "pending_index_rows"))


def test_a_collection_in_clear_is_closed_to_filtered_roles(alpha: MilvusClient) -> None:
    with pytest.raises(MilvusException, match="protect: none"):
        alpha.query("notes_clear", filter="id >= 0")


def test_schemas_and_indexes_are_not_for_tenants(alpha: MilvusClient) -> None:
    index = alpha.prepare_index_params()
    index.add_index("tenant_id", index_type="INVERTED")
    for call in (
        lambda: alpha.create_collection("notes_mine", dimension=4),
        lambda: alpha.create_index("notes", index),
        lambda: alpha.add_collection_field("notes", "more", DataType.INT64, nullable=True),
        lambda: alpha.alter_collection_field("notes", "tenant_id", {"max_length": 100}),
        lambda: alpha.drop_collection("notes"),
        lambda: alpha.get_collection_stats("notes"),
    ):
        with pytest.raises(MilvusException, match="rows: all"):
            call()


@pytest.mark.parametrize("rpc", ROUTES)
def test_each_rpc_is_open_to_tenants_only_if_this_says_so(house: MilvusProxy, rpc: str) -> None:
    method = rpc.rpartition("/")[2]
    code, _ = answered(house, ALPHA, rpc, ask_of(rpc, "notes"))
    if ROUTES[rpc].handling == "refused":
        assert code in (10, -1)
    elif method in ("Insert", "Upsert"):
        assert code == DENIED  # this one brings no row of the tenant's: the tests above do
    elif method in HELD | SEEN:
        assert code != DENIED
    elif method in MALFORMED:
        assert code in (DENIED, 1100)
    else:
        assert code == DENIED


@pytest.mark.parametrize("rpc", ROUTES)
def test_each_rpc_gets_past_the_policy_for_whoever_has_all_rows(house: MilvusProxy, rpc: str) -> None:
    if rpc.rpartition("/")[2] not in ("DropCollection", "DropDatabase"):  # those that the other tests need
        assert answered(house, ROOT, rpc, ask_of(rpc, "scratch"))[0] != DENIED


@pytest.mark.parametrize("rpc", ROUTES)
def test_each_rpc_is_closed_on_a_collection_that_is_not_granted(house: MilvusProxy, rpc: str) -> None:
    request = ask_of(rpc, "scratch")
    if request.ByteSize() and ROUTES[rpc].handling != "refused":
        lists = rpc.rpartition("/")[2] in ("ListAliases",)
        assert answered(house, ALPHA, rpc, request)[0] == DENIED or lists
