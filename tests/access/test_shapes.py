"""`return_vectors` and `scores` of a role, against running proxies."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import lite_server
from pymilvus import AnnSearchRequest, DataType, MilvusClient, MilvusException, RRFRanker
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from serving import CALL_S, Proxy, serving_proxy

from vecguard.model import EXACT, Shape
from vecguard.policy.credentials import hash_key

ROLES = {
    "exact": "{}",
    "protected": "{return_vectors: protected}",
    "deny": "{return_vectors: deny}",
    "rounded": "{scores: rounded, score_decimals: 1}",
    "hidden": "{scores: hidden}",
}
_KEYS = "\n".join(f'    - {{name: {role}, hash: "{hash_key(f"vgk_{role}")}", roles: [{role}]}}' for role in ROLES)
_ROLES = "\n".join(
    f"    - {{name: {role}, grants: [{{actions: [read, write]}}], {more[1:-1]}}}".replace(", }", "}")
    for role, more in ROLES.items()
)
POLICY = f"""
version: 1
access:
  api_keys:
{_KEYS}
  roles:
{_ROLES}
collections: [{{match: "clear", protect: none}}, {{match: "*"}}]
"""
POINTS = {1: [1.0, 0.0, 0.0, 0.0], 2: [0.8, 0.6, 0.0, 0.0], 3: [0.6, 0.8, 0.0, 0.0]}
QUERY = [1.0, 0.1, 0.0, 0.0]


def test_the_stricter_of_two_forms_counts() -> None:
    assert EXACT.and_also(Shape("deny")) == Shape("deny")
    assert Shape("protected", "rounded", 2).and_also(Shape("exact", "rounded", 1)) == Shape("protected", "rounded", 1)
    assert Shape("exact", "hidden", 6).and_also(Shape("exact", "rounded", 3)).scores == "hidden"


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with serving_proxy(tmp_path_factory.mktemp("shapes"), POLICY, rest=True) as proxy:
        client = of(proxy, "exact")
        for name in ("notes", "clear"):
            client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
            points = [models.PointStruct(id=i, vector=x, payload={"group": "g"}) for i, x in POINTS.items()]
            client.upsert(name, points)
            client.create_payload_index(name, "group", models.PayloadSchemaType.KEYWORD) if name == "clear" else None
        yield proxy


def of(proxy: Proxy, role: str, *, rest: bool = False) -> QdrantClient:
    key = f"vgk_{role}"
    if rest:
        return QdrantClient(url=proxy.url, api_key=key, check_compatibility=False, timeout=CALL_S)
    return QdrantClient(
        host="127.0.0.1", grpc_port=proxy.port, prefer_grpc=True, api_key=key, https=False, check_compatibility=False
    )


def refused(call: object) -> bool:
    with pytest.raises((grpc.RpcError, Exception)) as caught:
        call()  # type: ignore[operator]
    code = caught.value.code() if isinstance(caught.value, grpc.RpcError) else getattr(caught.value, "status_code", 0)
    return code in (grpc.StatusCode.PERMISSION_DENIED, 403)


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("name", ["notes", "clear"])
class TestQdrant:
    """Both kinds of collections, by both of Qdrant's protocols."""

    def test_exact(self, qdrant: Proxy, name: str, rest: bool) -> None:
        client = of(qdrant, "exact", rest=rest)
        hits = client.query_points(name, query=QUERY, with_vectors=True).points
        assert [hit.id for hit in hits] == [1, 2, 3]
        assert hits[0].score == pytest.approx(0.995, abs=1e-3)
        assert hits[1].vector == pytest.approx(POINTS[2], abs=1e-5)

    def test_denied_vectors(self, qdrant: Proxy, name: str, rest: bool) -> None:
        client = of(qdrant, "deny", rest=rest)
        assert client.query_points(name, query=QUERY).points[0].vector is None
        assert client.retrieve(name, [1])[0].vector is None
        assert client.scroll(name)[0][0].vector is None
        mmr = models.NearestQuery(nearest=QUERY, mmr=models.Mmr(diversity=0.5, candidates_limit=3))
        assert all(hit.vector is None for hit in client.query_points(name, query=mmr).points)
        assert refused(lambda: client.query_points(name, query=QUERY, with_vectors=True))
        assert refused(lambda: client.retrieve(name, [1], with_vectors=[""]))
        assert refused(lambda: client.scroll(name, with_vectors=True))

    def test_protected_vectors(self, qdrant: Proxy, name: str, rest: bool) -> None:
        client = of(qdrant, "protected", rest=rest)
        found = client.query_points(name, query=QUERY, with_vectors=True).points
        assert [hit.id for hit in found] == [1, 2, 3]
        assert found[0].score == pytest.approx(0.995, abs=1e-3)
        for hit in (*found, *client.retrieve(name, [1, 2, 3], with_vectors=True)):
            clear = hit.vector == pytest.approx(POINTS[int(hit.id)], abs=1e-2)
            assert clear == (name == "clear")

    def test_rounded_scores(self, qdrant: Proxy, name: str, rest: bool) -> None:
        client = of(qdrant, "rounded", rest=rest)
        assert [hit.score for hit in client.query_points(name, query=QUERY).points] == pytest.approx([1.0, 0.9, 0.7])
        pairs = client.search_matrix_pairs(name, sample=3, limit=2).pairs
        assert all(round(pair.score, 1) == pytest.approx(pair.score, abs=1e-6) for pair in pairs)
        assert len(client.query_points(name, query=QUERY, score_threshold=0.8).points) == 2
        assert refused(lambda: client.query_points(name, query=QUERY, score_threshold=0.8765))

    def test_hidden_scores(self, qdrant: Proxy, name: str, rest: bool) -> None:
        client = of(qdrant, "hidden", rest=rest)
        hits = client.query_points(name, query=QUERY).points
        assert [(hit.id, hit.score) for hit in hits] == [(1, 0.0), (2, 0.0), (3, 0.0)]
        assert set(client.search_matrix_offsets(name, sample=3, limit=2).scores) == {0.0}
        assert refused(lambda: client.query_points(name, query=QUERY, score_threshold=0.5))
        prefetch = models.Prefetch(query=QUERY, limit=5, score_threshold=0.5)
        fused = models.FusionQuery(fusion=models.Fusion.RRF)
        assert refused(lambda: client.query_points(name, query=fused, prefetch=[prefetch]))
        boosted = models.FormulaQuery(formula=models.SumExpression(sum=["$score", 1.0]))
        prefetch = models.Prefetch(query=QUERY, limit=5)
        assert refused(lambda: client.query_points(name, query=boosted, prefetch=[prefetch]))
        assert {hit.score for hit in client.query_points(name, query=fused, prefetch=[prefetch, prefetch]).points} == {
            0
        }


def test_groups_are_shaped_too(qdrant: Proxy) -> None:
    found = of(qdrant, "hidden").query_points_groups("clear", group_by="group", query=QUERY, group_size=3)
    assert [(hit.id, hit.score) for group in found.groups for hit in group.hits] == [(1, 0.0), (2, 0.0), (3, 0.0)]
    with qdrant.channel() as channel:
        ask = q.SearchPointGroups(
            collection_name="clear", vector=QUERY, group_by="group", group_size=3, limit=1, score_threshold=0.1
        )
        assert refused(
            lambda: q.PointsStub(channel).SearchGroups(ask, metadata=(("api-key", "vgk_hidden"),), timeout=60)
        )


@pytest.mark.slow
class TestMilvus:
    """Milvus Lite."""

    @pytest.fixture(scope="class")
    def house(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
        folder = tmp_path_factory.mktemp("house")
        with lite_server(folder / "lite") as lite, serving_milvus(folder / "proxy", lite, POLICY) as proxy:
            client = self.of(proxy, "exact")
            schema = client.create_schema(enable_dynamic_field=True)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
            index = client.prepare_index_params()
            index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
            client.create_collection("notes", schema=schema, index_params=index)
            client.insert("notes", [{"id": i, "vector": x, "color": "red"} for i, x in POINTS.items()])
            yield proxy

    @staticmethod
    def of(proxy: MilvusProxy, role: str) -> MilvusClient:
        return MilvusClient(f"http://{proxy.target}", token=f"vgk_{role}")

    def test_vectors(self, house: MilvusProxy) -> None:
        exact, deny, protected = (self.of(house, role) for role in ("exact", "deny", "protected"))
        everything = {"filter": "id == 2", "output_fields": ["*"]}
        assert exact.query("notes", **everything)[0]["vector"] == pytest.approx(POINTS[2], abs=1e-5)
        assert "vector" not in deny.query("notes", **everything)[0]
        assert deny.query("notes", **everything)[0]["color"] == "red"
        stored = protected.query("notes", **everything)[0]["vector"]
        assert stored != pytest.approx(POINTS[2], abs=1e-2)
        assert "vector" not in deny.search("notes", [QUERY], limit=3, output_fields=["*"])[0][0]["entity"]
        for call in (
            lambda: deny.query("notes", filter="id == 2", output_fields=["vector"]),
            lambda: deny.search("notes", [QUERY], limit=3, output_fields=["vector"]),
        ):
            with pytest.raises(MilvusException, match="vectors are not given"):
                call()

    def test_distances(self, house: MilvusProxy) -> None:
        rounded, hidden = self.of(house, "rounded"), self.of(house, "hidden")
        assert [hit["distance"] for hit in rounded.search("notes", [QUERY], limit=3)[0]] == pytest.approx([1, 0.9, 0.7])
        hits = hidden.search("notes", [QUERY], limit=3)[0]
        assert [(hit["id"], hit["distance"]) for hit in hits] == [(1, 0), (2, 0), (3, 0)]
        requests = [AnnSearchRequest([QUERY], "vector", {}, limit=3)] * 2
        assert {hit["distance"] for hit in hidden.hybrid_search("notes", requests, RRFRanker(), limit=3)[0]} == {0}
        for call in (
            lambda: hidden.search("notes", [QUERY], limit=3, search_params={"params": {"radius": 0.5}}),
            lambda: hidden.search_iterator("notes", [QUERY], batch_size=2).next(),
        ):
            with pytest.raises(MilvusException, match="not exact"):
                call()
