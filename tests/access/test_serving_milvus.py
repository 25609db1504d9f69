"""Principals against a running proxy before Milvus Lite, with pymilvus' own client."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import grpc
import pytest
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import lite_server
from pymilvus import MilvusClient, MilvusException

from vecguard.policy.credentials import hash_key, hash_password

pytestmark = pytest.mark.slow

ROOT, ALPHA = "vgk_root", "vgk_alpha"
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
    - {{name: root, hash: "{hash_key(ROOT)}", roles: [read, write, admin]}}
    - {{name: alpha, hash: "{hash_key(ALPHA)}", roles: [alpha]}}
  accounts:
    - {{name: ann, hash: "{hash_password("correct horse")}", roles: [read]}}
  roles:
    - name: alpha
      grants: [{{collections: ["alpha*"], actions: [read, write]}}]
      rate: {{calls_per_s: 1000, burst_calls: 1000}}
      limits: {{max_results: 10}}
collections: [{{match: "alpha*"}}, {{match: "beta*"}}]
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    folder = tmp_path_factory.mktemp("house")
    with lite_server(folder / "lite") as lite, serving_milvus(folder / "proxy", lite, POLICY) as proxy:
        root = of(proxy, ROOT)
        for name in ("alpha", "beta"):
            root.create_collection(name, dimension=4, metric_type="COSINE")
            root.insert(name, [{"id": i, "vector": [1.0, i, 0, 0], "n": i} for i in range(1, 4)])
        root.create_alias("beta", "alpha_b")
        yield proxy


def of(proxy: MilvusProxy, token: str) -> MilvusClient:
    return MilvusClient(f"http://{proxy.target}", token=token)


def test_a_key_a_password_and_neither(house: MilvusProxy) -> None:
    assert of(house, "ann:correct horse").get_collection_stats("alpha")["row_count"] == 3
    assert of(house, f"alpha:{ALPHA}").has_collection("alpha")
    for wrong in ("ann:wrong", "vgk_wrong", "root:Milvus", f"ann:{ALPHA}"):
        with pytest.raises((MilvusException, grpc.RpcError)):
            of(house, wrong).list_collections()


def test_a_role_reaches_its_collections_and_sees_no_others(house: MilvusProxy) -> None:
    alpha, root = of(house, ALPHA), of(house, ROOT)
    assert sorted(root.list_collections()) == ["alpha", "beta"]
    assert alpha.list_collections() == ["alpha"]
    assert root.list_aliases("beta")["aliases"] == ["alpha_b"]
    assert len(alpha.search("alpha", [[1.0, 1, 0, 0]], limit=2)[0]) == 2
    for call in (
        lambda: alpha.query("beta", filter="id > 0"),
        lambda: alpha.query("alpha_b", filter="id > 0"),
        lambda: alpha.get_collection_stats("alpha_b"),
        lambda: alpha.drop_collection("beta"),
        lambda: alpha.create_collection("gamma", dimension=4),
        lambda: alpha.flush("alpha_b"),
        lambda: alpha.create_database("mine"),
    ):
        with pytest.raises(MilvusException, match=r"may not|no entry"):
            call()
    with pytest.raises(MilvusException, match="may not"):
        of(house, "ann:correct horse").insert("alpha", [{"id": 9, "vector": [1.0, 0, 0, 0]}])


def test_the_results_of_all_queries_of_a_search_are_bounded_together(house: MilvusProxy) -> None:
    alpha = of(house, ALPHA)
    assert len(alpha.search("alpha", [[1.0, 1, 0, 0]] * 5, limit=2)) == 5
    with pytest.raises(MilvusException, match="11 queries"):
        alpha.search("alpha", [[1.0, 1, 0, 0]] * 11, limit=2)


def test_no_credential_is_in_the_logs(house: MilvusProxy) -> None:
    for secret in (ROOT, ALPHA, "correct horse"):
        assert secret not in house.logs
        assert base64.b64encode(secret.encode()).decode() not in house.logs
