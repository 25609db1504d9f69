"""Callers that say themselves whose they are (`tenant_keys: {attribute: ...}`): each has its own records alone."""

from __future__ import annotations

import asyncio
import itertools
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from qdrant_client.http.exceptions import UnexpectedResponse
from serving import Proxy, serving_proxy
from tenant_callers import CALLERS, api_keys

from vecguard.config import Settings, parse_upstream
from vecguard.errors import TenantShredded
from vecguard.upkeep.access import open_database
from vecguard.upkeep.shred_tenant import shred_tenant

DIMS = 8
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
{api_keys(CALLERS)}
collections:
  - match: "*"
    tenant_keys: {{attribute: org}}
    payload: {{default: sealed, fields: {{city: searchable, open: plain}}}}
"""
names = (f"own-{n}" for n in itertools.count())
Client = Callable[[str], QdrantClient]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with serving_proxy(tmp_path_factory.mktemp("callers"), POLICY, rest=True) as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Client]:
    made: dict[str, QdrantClient] = {}

    def of(name: str) -> QdrantClient:
        if name not in made:
            made[name] = QdrantClient(
                url=proxy.url,
                grpc_port=proxy.port,
                prefer_grpc=request.param == "grpc",
                api_key=f"vgk_{name}",
                check_compatibility=False,
                timeout=60,
            )
        return made[name]

    yield of
    for one in made.values():
        one.close()


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    made = next(names)
    client("ada").create_collection(made, vectors_config=models.VectorParams(size=DIMS, distance="Cosine"))
    for start, tenant in ((0, "ada"), (10, "bob")):
        client(tenant).upsert(made, [point(number, tenant) for number in range(start, start + 4)], wait=True)
    yield made
    client("nobody").delete_collection(made)


def point(number: int, tenant: str) -> models.PointStruct:
    vector = [float((number * 3 + i * i) % 7) + 0.5 for i in range(DIMS)]
    payload = {"city": ("Ulm", "Bonn")[number % 2], "open": tenant, "secret": f"of {tenant} {number}"}
    return models.PointStruct(id=number, vector=vector, payload=payload)


def seen(client: QdrantClient, name: str, **wanted: str) -> set[int]:
    must = [models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in wanted.items()]
    found, _ = client.scroll(name, scroll_filter=models.Filter(must=must), limit=100)
    assert {str(record.payload["secret"]).split()[1] for record in found if record.payload} <= {"ada", "bob", "seven"}
    return {int(record.id) for record in found}


def status(call: Callable[[], object]) -> str:
    """The status of a refusal, over either protocol, with its text."""
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    except UnexpectedResponse as error:
        return str(error)
    return "OK"


def test_each_caller_has_its_own_records_alone(client: Client, name: str) -> None:
    ada, bob = client("ada"), client("bob")
    assert (seen(ada, name), seen(bob, name)) == ({0, 1, 2, 3}, {10, 11, 12, 13})
    assert (seen(ada, name, city="Ulm"), seen(bob, name, city="Ulm")) == ({0, 2}, {10, 12})
    assert ada.count(name).count == 4
    assert {hit.id for hit in ada.query_points(name, query=point(11, "bob").vector, limit=10).points} == {0, 1, 2, 3}
    assert {record.id for record in ada.retrieve(name, [0, 10])} == {0}


def test_a_caller_without_records_sees_none_and_begins_to_have_some(client: Client, name: str) -> None:
    seven = client("seven")
    assert (seen(seven, name), seven.count(name).count) == (set(), 0)
    assert seven.query_points(name, query=point(0, "ada").vector, limit=10).points == []
    seven.upsert(name, [point(70, "seven")], wait=True)
    assert (seen(seven, name), seen(client("ada"), name)) == ({70}, {0, 1, 2, 3})


@pytest.mark.parametrize("who", ["nobody", "two"])
def test_whoever_does_not_say_one_thing_is_refused(client: Client, name: str, who: str) -> None:
    assert "needs the attribute" in status(lambda: client(who).count(name))
    assert "needs the attribute" in status(lambda: client(who).upsert(name, [point(1, "ada")]))


def test_nobody_touches_anothers_records(client: Client, name: str) -> None:
    ada, bob = client("ada"), client("bob")
    before = {record.id: record.payload for record in bob.scroll(name, limit=100)[0]}
    assert "is there already" in status(lambda: ada.upsert(name, [point(10, "ada")], wait=True))
    ada.set_payload(name, {"secret": "of ada taken"}, points=[0, 10], wait=True)
    ada.set_payload(name, {"secret": "of ada all"}, points=models.Filter(), wait=True)
    ada.overwrite_payload(name, {"secret": "of ada x", "open": "ada"}, points=[1, 11], wait=True)
    ada.delete_payload(name, ["open"], points=[2, 12], wait=True)
    ada.clear_payload(name, points_selector=[3, 13], wait=True)
    ada.update_vectors(name, [models.PointVectors(id=key, vector=point(5, "").vector) for key in (0, 12)], wait=True)
    ada.delete(name, points_selector=models.Filter(must=[models.HasIdCondition(has_id=[13])]), wait=True)
    assert {record.id: record.payload for record in bob.scroll(name, limit=100)[0]} == before
    mine = {record.id: record.payload for record in ada.scroll(name, limit=100)[0]}
    assert mine[1] == {"secret": "of ada x", "open": "ada"}
    assert "open" not in (mine[2] or {})
    assert mine[3] == {}
    assert (mine[0] or {})["secret"] == "of ada all"


def test_what_concerns_all_records_is_for_no_tenant(client: Client, name: str) -> None:
    ada, nobody = client("ada"), client("nobody")
    before = len(nobody.list_snapshots(name))
    whole = nobody.create_full_snapshot()
    for call in (
        lambda: ada.delete_collection(name),
        lambda: client("two").delete_collection(name),
        lambda: ada.create_snapshot(name),
        lambda: ada.list_snapshots(name),
        ada.create_full_snapshot,
        client("two").list_full_snapshots,
        lambda: ada.delete_full_snapshot("all"),
    ):
        assert "may not touch: it needs a caller that is no tenant of the collection" in status(call)
    assert seen(client("bob"), name) == {10, 11, 12, 13}
    assert len(nobody.list_snapshots(name)) == before
    assert [one.name for one in nobody.list_full_snapshots()] == [whole.name]
    nobody.delete_full_snapshot(whole.name)
    nobody.delete_collection(name)
    assert not nobody.collection_exists(name)


def test_a_tenant_may_declare_what_shows_no_record(client: Client, name: str) -> None:
    assert status(lambda: client("ada").create_payload_index(name, "city", models.PayloadSchemaType.KEYWORD)) == "OK"
    assert seen(client("bob"), name, city="Ulm") == {10, 12}


def test_a_tenant_deletes_no_vectors_of_all_and_downloads_no_copy(client: Client, proxy: Proxy, name: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        points = q.PointsStub(channel)
        ask = q.DeleteVectorNameRequest(collection_name=name, vector_name="")
        said = status(lambda: points.DeleteVectorName(ask, metadata=(("api-key", "vgk_ada"),)))
    assert said.startswith("PERMISSION_DENIED")
    assert "is no tenant" in said

    def asked(method: str, path: str) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{proxy.url}/collections/{name}{path}", method=method, headers={"api-key": "vgk_ada"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    copy = client("nobody").create_snapshot(name)
    assert copy is not None
    code, text = asked("GET", f"/snapshots/{copy.name}")
    assert (code, "is no tenant" in text) == (403, True)
    assert seen(client("ada"), name) == {0, 1, 2, 3}


def test_a_shredded_caller_is_told_so_and_the_others_go_on(client: Client, proxy: Proxy, name: str) -> None:
    settings = Settings(
        upstream=(parse_upstream(f"embedded:{proxy.data}"),),
        key=f"file:{proxy.key_file}",
        policy=Path(str(proxy.policy)),
    )

    async def run() -> int:
        async with open_database(settings) as database:
            proof, _ = await shred_tenant(database, name, "ada", lambda event, **fields: None, settle_s=0.0)
            return proof.records

    assert asyncio.run(run()) == 4
    client("nobody").delete_collection("nothing")  # has the worker look again
    for call in (
        lambda: client("ada").count(name),
        lambda: client("ada").upsert(name, [point(1, "ada")]),
        lambda: client("ada").retrieve(name, [0]),
    ):
        assert TenantShredded.TEXT in status(call)
    assert seen(client("bob"), name) == {10, 11, 12, 13}
