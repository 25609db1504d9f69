"""API keys and roles against a running proxy: gRPC, REST, and Milvus' protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from proxy.processes import until
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from serving import CALL_S, Proxy, serving_proxy

from vecguard.policy.credentials import hash_key

ROOT, ALPHA, SEARCHER, SLOW = "vgk_root", "vgk_alpha", "vgk_searcher", "vgk_slow"
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
    - {{name: root, hash: "{hash_key(ROOT)}", roles: [read, write, admin]}}
    - {{name: alpha, hash: "{hash_key(ALPHA)}", roles: [alpha]}}
    - {{name: searcher, hash: "{hash_key(SEARCHER)}", roles: [searcher]}}
    - {{name: slow, hash: "{hash_key(SLOW)}", roles: [slow]}}
  roles:
    - name: alpha
      grants: [{{collections: ["alpha*"], actions: [read, write, admin]}}]
    - name: searcher
      grants: [{{collections: ["alpha*"], actions: [read], operations: ["Query", "Collections/*", "Count"]}}]
      limits: {{max_limit: 3}}
    - name: slow
      grants: [{{actions: [read]}}]
      rate: {{calls_per_s: 0.001, burst_calls: 3}}
collections:
  - match: "alpha*"
  - match: "beta*"
"""
VECTORS = models.VectorParams(size=4, distance=models.Distance.COSINE)


def of(proxy: Proxy, key: str | None, *, rest: bool = False) -> QdrantClient:
    if rest:
        return QdrantClient(url=proxy.url, api_key=key, https=False, check_compatibility=False, timeout=CALL_S)
    return QdrantClient(
        host="127.0.0.1", grpc_port=proxy.port, prefer_grpc=True, api_key=key, https=False, check_compatibility=False
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with serving_proxy(tmp_path_factory.mktemp("keys"), POLICY, rest=True) as proxy:
        root = of(proxy, ROOT)
        for name in ("alpha", "beta"):
            root.create_collection(name, vectors_config=VECTORS)
            root.upsert(name, [models.PointStruct(id=i, vector=[1, i, 0, 0], payload={"n": i}) for i in range(1, 6)])
        root.update_collection_aliases(
            [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name="beta", alias_name="alpha-b")
                ),
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name="alpha", alias_name="alpha-a")
                ),
            ]
        )
        yield proxy


def status(call: object) -> grpc.StatusCode | int:
    try:
        call()  # type: ignore[operator]
    except grpc.RpcError as error:
        return error.code()
    except Exception as error:  # noqa: BLE001 - the REST client's own kinds
        return getattr(error, "status_code", 0) or repr(error)  # type: ignore[return-value]
    return grpc.StatusCode.OK


@pytest.mark.parametrize("rest", [False, True])
def test_nobody_without_a_key_and_nobody_with_a_wrong_one(house: Proxy, rest: bool) -> None:
    refused = 401 if rest else grpc.StatusCode.UNAUTHENTICATED
    for key in (None, "vgk_wrong", hash_key(ROOT)):
        assert status(lambda key=key: of(house, key, rest=rest).get_collections()) == refused
    assert len(of(house, ROOT, rest=rest).get_collections().collections) == 2


@pytest.mark.slow
def test_an_alias_in_clear_is_granted_for_the_collection_behind_it(tmp_path: Path) -> None:
    clear = POLICY.replace('"alpha*"\n  - match: "beta*"', '"*"\n    protect: none')
    assert "protect: none" in clear
    with serving_proxy(tmp_path, clear) as proxy:
        root, alpha = of(proxy, ROOT), of(proxy, ALPHA)
        for name in ("alpha", "beta"):
            root.create_collection(name, vectors_config=VECTORS)
            root.upsert(name, [models.PointStruct(id=1, vector=[1, 0, 0, 0])])
            alias = models.CreateAlias(collection_name=name, alias_name=f"alpha-{name}")
            root.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        assert alpha.count("alpha-alpha").count == 1
        assert root.count("alpha-beta").count == 1
        for call in (alpha.count, alpha.get_collection, lambda name: alpha.retrieve(name, [1])):
            assert status(lambda call=call: call("alpha-beta")) == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("rest", [False, True])
def test_a_role_reaches_its_collections_and_no_others(house: Proxy, rest: bool) -> None:
    alpha = of(house, ALPHA, rest=rest)
    refused = 403 if rest else grpc.StatusCode.PERMISSION_DENIED
    assert alpha.count("alpha").count == 5
    for call in (
        lambda: alpha.count("beta"),
        lambda: alpha.count("alpha-b"),  # an alias of a name that it may use, for a collection that it may not
        lambda: alpha.upsert("beta", [models.PointStruct(id=9, vector=[1, 0, 0, 0])]),
        lambda: alpha.create_collection("beta2", vectors_config=VECTORS),
        lambda: alpha.create_snapshot("beta"),
        lambda: alpha.create_snapshot("alpha-b"),
        lambda: alpha.list_snapshots("alpha-b"),
        lambda: alpha.delete_snapshot("alpha-b", "x"),
        alpha.create_full_snapshot,  # of the whole server
    ):
        assert status(call) == refused
    assert alpha.list_snapshots("alpha") == []
    assert alpha.list_snapshots("alpha-a") == []


@pytest.mark.parametrize("rest", [False, True])
def test_lists_show_what_a_caller_may_read(house: Proxy, rest: bool) -> None:
    alpha, root = of(house, ALPHA, rest=rest), of(house, ROOT, rest=rest)
    assert [c.name for c in alpha.get_collections().collections] == ["alpha"]
    assert [a.alias_name for a in alpha.get_aliases().aliases] == ["alpha-a"]
    assert sorted(a.alias_name for a in root.get_aliases().aliases) == ["alpha-a", "alpha-b"]
    assert [a.alias_name for a in alpha.get_collection_aliases("alpha").aliases] == ["alpha-a"]


def test_operations_and_limits_of_a_role(house: Proxy) -> None:
    searcher = of(house, SEARCHER)
    assert len(searcher.query_points("alpha", query=[1, 1, 0, 0], limit=3).points) == 3
    assert (
        status(lambda: searcher.query_points("alpha", query=[1, 1, 0, 0], limit=4))
        == grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert status(lambda: searcher.scroll("alpha")) == grpc.StatusCode.PERMISSION_DENIED
    assert status(lambda: searcher.retrieve("alpha", [1])) == grpc.StatusCode.PERMISSION_DENIED
    assert searcher.count("alpha").count == 5


def test_a_rate_is_told_with_the_time_to_wait(house: Proxy) -> None:
    slow = of(house, SLOW)
    for _ in range(3):
        slow.count("alpha")
    with pytest.raises(ResourceExhaustedResponse) as refused:
        slow.count("alpha")
    assert 900 <= refused.value.retry_after_s <= 1_000
    answer = httpx.get(f"{house.url}/collections", headers={"api-key": SLOW})
    assert answer.status_code == 429
    assert 900 <= int(answer.headers["retry-after"]) <= 1_000


def test_a_key_that_comes_twice_is_refused(house: Proxy) -> None:
    with house.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        q.CollectionsStub(channel).List(
            q.ListCollectionsRequest(), metadata=(("api-key", "vgk_wrong"), ("api-key", ROOT))
        )
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    answer = httpx.get(f"{house.url}/collections", headers=[("api-key", ROOT), ("api-key", ROOT)])
    assert answer.status_code == 401


def test_no_credential_is_in_the_logs_and_every_principal_is(house: Proxy) -> None:
    with contextlib.suppress(Exception):
        of(house, "vgk_never_shown").get_collections()
    of(house, ALPHA).get_collections()
    until(lambda: '"principal":"alpha"' in house.logs)
    house_log = house.logs
    for secret in (ROOT, ALPHA, SEARCHER, SLOW, "vgk_never_shown"):
        assert secret not in house_log
        assert hash_key(secret).removeprefix("sha256:") not in house_log
