"""Row filters, RPC by RPC: one tenant neither sees, nor counts, nor changes another's points. Qdrant's whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as q
from serving import serving_proxy

from access.tenants import (
    ALPHA,
    BETA,
    FOREIGN,
    KINDS,
    OWN,
    POLICY,
    ROOT,
    WIDE,
    World,
    dense,
    filtered,
    given,
    ids_in,
    number,
    numbers,
    point,
    selected,
    text,
    vector,
    where,
    world,
)
from vecguard.front.qdrant.table import ROUTES

P, C, S = "/qdrant.Points/", "/qdrant.Collections/", "/qdrant.Snapshots/"
DENIED, MISSING, OK = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK
Check = Callable[[World, str], None]


class Case(NamedTuple):
    """What a tenant may do by an RPC, and what it must not."""

    allow: Check
    deny: Check


def reads(own: Callable[[str], Message], *foreign: Callable[[str], Message]) -> Case:
    """A read: `own` finds the tenant's points and no others; each of `foreign` names another's, and finds none."""

    def allow(here: World, rpc: str) -> None:
        found = ids_in(here.call(ALPHA, rpc, own(here.name)))
        assert found
        assert found <= set(OWN)
        assert ids_in(here.call(ROOT, rpc, own(here.name))) - set(OWN), "root would see more"

    def deny(here: World, rpc: str) -> None:
        for ask in foreign:
            try:
                found = ids_in(here.call(ALPHA, rpc, ask(here.name)))
            except grpc.RpcError as error:  # as of a point that is not there
                if error.code() is not MISSING or "11" not in error.details():
                    raise
            else:
                assert not found & set(FOREIGN)

    return Case(allow, deny)


def writes(own: Callable[[str], Message], *foreign: tuple[Callable[[str], Message], grpc.StatusCode]) -> Case:
    """A write: `own` changes the tenant's points; each of `foreign` leaves the others' as they are."""

    def allow(here: World, rpc: str) -> None:
        here.reset()
        before, others = here.rows(), here.foreign()
        here.call(ALPHA, rpc, own(here.name))
        after = here.rows()
        assert after != before
        assert {key: row for key, row in after.items() if key in FOREIGN} == others

    def deny(here: World, rpc: str) -> None:
        here.reset()
        others = here.foreign()
        for ask, status in foreign:
            assert here.status(ALPHA, rpc, ask(here.name)) is status
            assert here.foreign() == others
            assert set(here.tenants().values()) == {"alpha", "beta"}
            assert all((key in FOREIGN) == (tenant == "beta") for key, tenant in here.tenants().items())

    return Case(allow, deny)


def wide(ask: Callable[[str], Message]) -> Case:
    """A call that concerns the whole collection or server: not for tenants; others get past the policy."""

    def allow(here: World, rpc: str) -> None:
        assert here.status(ROOT, rpc, ask("scratch")) not in (DENIED, grpc.StatusCode.UNAUTHENTICATED)

    def deny(here: World, rpc: str) -> None:
        before = here.rows()
        assert here.status(ALPHA, rpc, ask(here.name)) is DENIED
        assert here.rows() == before

    return Case(allow, deny)


def names(ask: Callable[[str], Message], has: Callable[[Any], bool]) -> Case:
    """A call about names: a tenant gets those that it may read."""

    def allow(here: World, rpc: str) -> None:
        assert has(here.call(ALPHA, rpc, ask(here.name)))

    def deny(here: World, rpc: str) -> None:
        answer = (
            here.call(ALPHA, rpc, ask("other"))
            if "collection_name" not in ROUTES[rpc].ask.DESCRIPTOR.fields_by_name
            else None
        )
        if answer is None:
            assert here.status(ALPHA, rpc, ask("other")) is DENIED
        else:
            assert "other" not in str(answer)

    return Case(allow, deny)


def nearest(name: str, **more: Any) -> q.QueryPoints:
    return q.QueryPoints(collection_name=name, query=q.Query(nearest=given(vector(11))), limit=20, **more)


def like(name: str, example: int, **more: Any) -> q.QueryPoints:
    return q.QueryPoints(
        collection_name=name, query=q.Query(nearest=q.VectorInput(id=number(example))), limit=20, **more
    )


def fused(name: str) -> q.QueryPoints:
    """Two prefetches, one with a filter of its own for the other tenant."""
    prefetch = [
        q.PrefetchQuery(query=q.Query(nearest=given(vector(11))), limit=20),
        q.PrefetchQuery(query=q.Query(nearest=given(vector(12))), filter=where("tenant_id", "beta"), limit=20),
    ]
    return q.QueryPoints(collection_name=name, prefetch=prefetch, query=q.Query(fusion=q.Fusion.RRF), limit=20)


def either(name: str) -> q.QueryPoints:
    """A filter that tries to reach around the mandatory one."""
    around = q.Filter(
        should=[q.Condition(filter=where("tenant_id", "beta")), q.Condition(filter=where("tenant_id", "alpha"))]
    )
    return nearest(name, filter=around)


def groups(name: str, query: q.QueryPoints) -> q.QueryPointGroups:
    return q.QueryPointGroups(
        collection_name=name, query=query.query, filter=query.filter, group_by="color", limit=10, group_size=10
    )


def old(kind: Any, name: str, **more: Any) -> Any:
    return kind(collection_name=name, limit=20, **more)


def recommend(name: str, positive: int, kind: Any = q.RecommendPoints, **more: Any) -> Any:
    return kind(collection_name=name, positive=numbers(positive), limit=20, **more)


def discover(name: str, target: int) -> q.DiscoverPoints:
    return q.DiscoverPoints(
        collection_name=name, target=q.TargetVector(single=q.VectorExample(id=number(target))), limit=20
    )


def operation(**kind: Any) -> Callable[[str], q.UpdateBatchPoints]:
    return lambda name: q.UpdateBatchPoints(
        collection_name=name, wait=True, operations=[q.PointsUpdateOperation(**kind)]
    )


def payload(kind: Any, selector: q.PointsSelector, fields: dict[str, str], **more: Any) -> Callable[[str], Message]:
    values = {key: text(value) for key, value in fields.items()}
    return lambda name: kind(collection_name=name, wait=True, points_selector=selector, payload=values, **more)


def upsert(*points: q.PointStruct) -> Callable[[str], Message]:
    return lambda name: q.UpsertPoints(collection_name=name, wait=True, points=points)


def listed(owner: str) -> q.PointStruct:
    """A point that would be both tenants' at once."""
    made = point(5, None)
    values = [text(owner), text("beta")]
    made.payload["tenant_id"].list_value.values.extend(values)
    return made


U = q.PointsUpdateOperation
SET, LAST = q.SetPayloadPoints, "vgk_nobody"
ALL = filtered(q.Filter())

CASES: dict[str, Case] = {
    f"{P}Get": reads(
        lambda name: q.GetPoints(collection_name=name, ids=numbers(*OWN, *FOREIGN)),
        lambda name: q.GetPoints(collection_name=name, ids=numbers(*FOREIGN)),
    ),
    f"{P}Scroll": reads(
        lambda name: q.ScrollPoints(collection_name=name, limit=50),
        lambda name: q.ScrollPoints(collection_name=name, filter=where("tenant_id", "beta")),
        lambda name: q.ScrollPoints(collection_name=name, offset=number(11)),
    ),
    f"{P}Query": reads(
        nearest,
        lambda name: nearest(name, filter=where("tenant_id", "beta")),
        either,
        fused,
        lambda name: like(name, 11),
        lambda name: q.QueryPoints(collection_name=name, query=q.Query(sample=q.Sample.Random), limit=20),
        lambda name: q.QueryPoints(collection_name=name, limit=20),
    ),
    f"{P}QueryBatch": reads(
        lambda name: q.QueryBatchPoints(collection_name=name, query_points=[nearest(name), either(name), fused(name)]),
        lambda name: q.QueryBatchPoints(collection_name=name, query_points=[nearest(name), like(name, 11)]),
    ),
    f"{P}QueryGroups": reads(
        lambda name: groups(name, nearest(name)),
        lambda name: groups(name, nearest(name, filter=where("color", "blue"))),
    ),
    f"{P}Search": reads(
        lambda name: old(q.SearchPoints, name, vector=vector(11)),
        lambda name: old(q.SearchPoints, name, vector=vector(11), filter=where("tenant_id", "beta")),
    ),
    f"{P}SearchBatch": reads(
        lambda name: q.SearchBatchPoints(
            collection_name=name, search_points=[old(q.SearchPoints, name, vector=vector(11))]
        ),
        lambda name: q.SearchBatchPoints(
            collection_name=name,
            search_points=[old(q.SearchPoints, name, vector=vector(11), filter=where("color", "blue"))],
        ),
    ),
    f"{P}SearchGroups": reads(
        lambda name: old(q.SearchPointGroups, name, vector=vector(11), group_by="color", group_size=10),
        lambda name: old(
            q.SearchPointGroups, name, vector=vector(11), group_by="color", group_size=10, filter=where("color", "blue")
        ),
    ),
    f"{P}Recommend": reads(lambda name: recommend(name, 1), lambda name: recommend(name, 11)),
    f"{P}RecommendBatch": reads(
        lambda name: q.RecommendBatchPoints(collection_name=name, recommend_points=[recommend(name, 1)]),
        lambda name: q.RecommendBatchPoints(collection_name=name, recommend_points=[recommend(name, 11)]),
    ),
    f"{P}RecommendGroups": reads(
        lambda name: recommend(name, 1, q.RecommendPointGroups, group_by="color", group_size=10),
        lambda name: recommend(name, 11, q.RecommendPointGroups, group_by="color", group_size=10),
    ),
    f"{P}Discover": reads(lambda name: discover(name, 1), lambda name: discover(name, 11)),
    f"{P}DiscoverBatch": reads(
        lambda name: q.DiscoverBatchPoints(collection_name=name, discover_points=[discover(name, 1)]),
        lambda name: q.DiscoverBatchPoints(collection_name=name, discover_points=[discover(name, 11)]),
    ),
    f"{P}SearchMatrixPairs": reads(
        lambda name: q.SearchMatrixPoints(collection_name=name, sample=50, limit=5),
        lambda name: q.SearchMatrixPoints(collection_name=name, sample=50, filter=where("tenant_id", "beta")),
    ),
    f"{P}SearchMatrixOffsets": reads(
        lambda name: q.SearchMatrixPoints(collection_name=name, sample=50, limit=5),
        lambda name: q.SearchMatrixPoints(collection_name=name, sample=50, filter=where("tenant_id", "beta")),
    ),
    f"{P}Upsert": writes(
        upsert(point(1, "alpha", "green"), point(5, "alpha")),
        (upsert(point(5, None)), DENIED),
        (upsert(point(5, "beta")), DENIED),
        (upsert(point(1, "beta")), DENIED),
        (upsert(point(11, "alpha")), DENIED),
        (upsert(point(1, "alpha"), point(12, "alpha")), DENIED),
        (upsert(listed("alpha")), DENIED),
    ),
    f"{P}UpdateBatch": writes(
        operation(upsert=U.PointStructList(points=[point(5, "alpha")])),
        (operation(upsert=U.PointStructList(points=[point(11, "alpha")])), DENIED),
        (operation(upsert=U.PointStructList(points=[point(5, "beta")])), DENIED),
        (operation(set_payload=U.SetPayload(points_selector=selected(1), payload={"tenant_id": text("beta")})), DENIED),
        (operation(set_payload=U.SetPayload(points_selector=selected(11), payload={"color": text("x")})), OK),
        (
            operation(overwrite_payload=U.OverwritePayload(points_selector=selected(1), payload={"a": text("b")})),
            DENIED,
        ),
        (operation(delete_payload=U.DeletePayload(points_selector=ALL, keys=["color"])), OK),
        (operation(delete_payload=U.DeletePayload(points_selector=selected(1), keys=["tenant_id"])), DENIED),
        (operation(clear_payload=U.ClearPayload(points=selected(1))), DENIED),
        (operation(clear_payload_deprecated=selected(11)), DENIED),
        (operation(delete_points=U.DeletePoints(points=selected(11))), OK),
        (operation(delete_deprecated=filtered(where("tenant_id", "beta"))), OK),
        (operation(delete_vectors=U.DeleteVectors(points_selector=ALL, vectors=q.VectorsSelector(names=[""]))), OK),
    ),
    f"{P}Delete": writes(
        lambda name: q.DeletePoints(collection_name=name, wait=True, points=ALL),
        (lambda name: q.DeletePoints(collection_name=name, wait=True, points=selected(*FOREIGN)), OK),
        (lambda name: q.DeletePoints(collection_name=name, wait=True, points=filtered(where("color", "blue"))), OK),
    ),
    f"{P}UpdateVectors": writes(
        lambda name: q.UpdatePointVectors(
            collection_name=name, wait=True, points=[q.PointVectors(id=number(1), vectors=dense([0, 0, 0, 1.0]))]
        ),
        (
            lambda name: q.UpdatePointVectors(
                collection_name=name, wait=True, points=[q.PointVectors(id=number(11), vectors=dense([0, 0, 0, 1.0]))]
            ),
            OK,
        ),
    ),
    f"{P}DeleteVectors": writes(
        lambda name: q.DeletePointVectors(
            collection_name=name, wait=True, points_selector=selected(1), vectors=q.VectorsSelector(names=[""])
        ),
        (
            lambda name: q.DeletePointVectors(
                collection_name=name, wait=True, points_selector=ALL, vectors=q.VectorsSelector(names=[""])
            ),
            OK,
        ),
    ),
    f"{P}SetPayload": writes(
        payload(SET, ALL, {"color": "green"}),
        (payload(SET, selected(11), {"color": "green"}), OK),
        (payload(SET, filtered(where("tenant_id", "beta")), {"color": "green"}), OK),
        (payload(SET, selected(1), {"tenant_id": "beta"}), DENIED),
        (payload(SET, ALL, {"x": "y"}, key="tenant_id"), DENIED),
    ),
    f"{P}OverwritePayload": writes(
        payload(SET, selected(1), {"tenant_id": "alpha", "color": "green"}),
        (payload(SET, selected(11), {"tenant_id": "alpha"}), OK),
        (payload(SET, selected(1), {"color": "green"}), DENIED),
        (payload(SET, selected(1), {"tenant_id": "beta"}), DENIED),
    ),
    f"{P}DeletePayload": writes(
        lambda name: q.DeletePayloadPoints(collection_name=name, wait=True, points_selector=ALL, keys=["color"]),
        (
            lambda name: q.DeletePayloadPoints(
                collection_name=name, wait=True, points_selector=selected(11), keys=["color"]
            ),
            OK,
        ),
        (
            lambda name: q.DeletePayloadPoints(
                collection_name=name, wait=True, points_selector=selected(1), keys=["tenant_id"]
            ),
            DENIED,
        ),
    ),
    f"{P}CreateFieldIndex": wide(
        lambda name: q.CreateFieldIndexCollection(
            collection_name=name, field_name="color", field_type=q.FieldType.FieldTypeKeyword
        )
    ),
    f"{P}DeleteFieldIndex": wide(lambda name: q.DeleteFieldIndexCollection(collection_name=name, field_name="color")),
    f"{P}CreateVectorName": wide(
        lambda name: q.CreateVectorNameRequest(
            collection_name=name,
            vector_name="more",
            sparse_config=q.CreateVectorNameRequest().sparse_config,
        )
    ),
    f"{P}DeleteVectorName": wide(lambda name: q.DeleteVectorNameRequest(collection_name=name, vector_name="more")),
    f"{C}Create": wide(lambda name: q.CreateCollection(collection_name=name)),
    f"{C}Update": wide(lambda name: q.UpdateCollection(collection_name=name)),
    f"{C}Delete": wide(lambda name: q.DeleteCollection(collection_name=name)),
    f"{C}UpdateAliases": wide(
        lambda name: q.ChangeAliases(
            actions=[q.AliasOperations(create_alias=q.CreateAlias(collection_name=name, alias_name="notes-alias"))]
        )
    ),
    f"{C}CollectionClusterInfo": wide(lambda name: q.CollectionClusterInfoRequest(collection_name=name)),
    f"{C}ListShardKeys": wide(lambda name: q.ListShardKeysRequest(collection_name=name)),
    f"{C}CreateShardKey": wide(lambda name: q.CreateShardKeyRequest(collection_name=name)),
    f"{C}DeleteShardKey": wide(lambda name: q.DeleteShardKeyRequest(collection_name=name)),
    f"{C}UpdateCollectionClusterSetup": wide(lambda name: q.UpdateCollectionClusterSetupRequest(collection_name=name)),
    f"{S}Create": wide(lambda name: q.CreateSnapshotRequest(collection_name=name)),
    f"{S}List": wide(lambda name: q.ListSnapshotsRequest(collection_name=name)),
    f"{S}Delete": wide(lambda name: q.DeleteSnapshotRequest(collection_name=name, snapshot_name="x")),
    f"{S}CreateFull": wide(lambda name: q.CreateFullSnapshotRequest()),
    f"{S}ListFull": wide(lambda name: q.ListFullSnapshotsRequest()),
    f"{S}DeleteFull": wide(lambda name: q.DeleteFullSnapshotRequest(snapshot_name="x")),
    f"{C}List": names(lambda name: q.ListCollectionsRequest(), lambda found: len(found.collections) == len(KINDS)),
    f"{C}ListAliases": names(lambda name: q.ListAliasesRequest(), lambda found: not found.aliases),
    f"{C}ListCollectionAliases": names(
        lambda name: q.ListCollectionAliasesRequest(collection_name=name), lambda found: not found.aliases
    ),
    f"{C}CollectionExists": names(
        lambda name: q.CollectionExistsRequest(collection_name=name), lambda found: bool(found.result.exists)
    ),
    "/qdrant.Qdrant/HealthCheck": names(lambda name: q.HealthCheckRequest(), lambda found: bool(found.title)),
}


def counts(here: World, rpc: str) -> None:
    """Count: its own four, never more."""
    here.reset()
    for ask, number_of in (
        (q.CountPoints(collection_name=here.name), 4),
        (q.CountPoints(collection_name=here.name, exact=False), 4),
        (q.CountPoints(collection_name=here.name, filter=where("tenant_id", "beta")), 0),
        (q.CountPoints(collection_name=here.name, filter=where("color", "blue")), 0),
    ):
        assert here.call(ALPHA, rpc, ask).result.count == number_of


def facets(here: World, rpc: str) -> None:
    """Facet: values of its own points, and how many of these have them."""
    here.reset()
    for exact in (True, False):
        hits = here.call(ALPHA, rpc, q.FacetCounts(collection_name=here.name, key="color", exact=exact)).hits
        assert [(hit.value.string_value, hit.count) for hit in hits] == [("red", 4)]


def facets_of_others(here: World, rpc: str) -> None:
    ask = q.FacetCounts(collection_name=here.name, key="color", filter=where("tenant_id", "beta"))
    assert not here.call(ALPHA, rpc, ask).hits


def described(here: World, rpc: str) -> None:
    """A collection's description counts the tenant's own points."""
    info = here.call(ALPHA, rpc, q.GetCollectionInfoRequest(collection_name=here.name)).result
    assert info.points_count == 4
    assert info.config.params.vectors_config.params.size == 4


def described_without_others(here: World, rpc: str) -> None:
    info = here.call(ALPHA, rpc, q.GetCollectionInfoRequest(collection_name=here.name)).result
    assert not info.HasField("indexed_vectors_count")
    assert info.segments_count == 0
    assert not any(schema.HasField("points") for schema in info.payload_schema.values())


def clearing(here: World, rpc: str) -> None:
    """ClearPayload would take the tenant with it: refused to tenants, root may."""
    here.reset()
    # Where tenants have keys, the field that says whose a point is has to stay.
    status = grpc.StatusCode.INVALID_ARGUMENT if here.name == "notes-keyed" else OK
    ask = q.ClearPayloadPoints(collection_name=here.name, wait=True, points=selected(1))
    assert here.status(ROOT, rpc, ask) is status
    here.reset()


def clearing_denied(here: World, rpc: str) -> None:
    before = here.rows()
    for selector in (selected(1), selected(11), ALL):
        ask = q.ClearPayloadPoints(collection_name=here.name, wait=True, points=selector)
        assert here.status(ALPHA, rpc, ask) is DENIED
    assert here.rows() == before


CASES |= {
    f"{P}Count": Case(counts, counts),
    f"{P}Facet": Case(facets, facets_of_others),
    f"{C}Get": Case(described, described_without_others),
    f"{P}ClearPayload": Case(clearing, clearing_denied),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving_proxy(tmp_path_factory.mktemp("tenants"), POLICY, rest=True) as proxy, world(proxy) as here:
        made = q.CreateCollection(collection_name="scratch")
        made.vectors_config.params.size, made.vectors_config.params.distance = 4, q.Distance.Cosine
        here.call(ROOT, f"{C}Create", made)
        yield here


@pytest.fixture
def notes(house: World) -> World:
    """The searchable collection, as it was at first."""
    house.reset()
    return house


@pytest.fixture(params=[KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def here(request: pytest.FixtureRequest, house: World) -> World:
    found = World(house.proxy, house.channel, request.param)
    if found.tenants() != {**dict.fromkeys(OWN, "alpha"), **dict.fromkeys(FOREIGN, "beta")}:
        found.reset()
    return found


def test_every_rpc_of_the_table_has_a_case() -> None:
    assert CASES.keys() == ROUTES.keys()


@pytest.mark.parametrize("rpc", CASES)
def test_what_a_tenant_may_do(here: World, rpc: str) -> None:
    CASES[rpc].allow(here, rpc)


@pytest.mark.parametrize("rpc", CASES)
def test_what_a_tenant_must_not_do(here: World, rpc: str) -> None:
    CASES[rpc].deny(here, rpc)


def test_a_caller_without_the_attribute_gets_nothing(notes: World) -> None:
    assert notes.status("vgk_nobody", f"{P}Count", q.CountPoints(collection_name="notes")) is DENIED


def test_a_field_that_no_filter_can_use_closes_the_collection(notes: World) -> None:
    made = q.CreateCollection(collection_name="notes-sealed")
    made.vectors_config.params.size, made.vectors_config.params.distance = 4, q.Distance.Cosine
    notes.call(ROOT, f"{C}Create", made)
    ask = q.CountPoints(collection_name="notes-sealed")
    assert notes.status(ALPHA, f"{P}Count", ask) is grpc.StatusCode.FAILED_PRECONDITION


def test_an_operation_on_all_rows_is_granted_in_words(notes: World) -> None:
    ask = q.CreateFieldIndexCollection(
        collection_name="notes", field_name="tenant_id", field_type=q.FieldType.FieldTypeKeyword
    )
    assert notes.status(WIDE, f"{P}CreateFieldIndex", ask) is OK
    assert notes.status(ALPHA, f"{P}CreateFieldIndex", ask) is DENIED
    assert notes.call(WIDE, f"{P}Count", q.CountPoints(collection_name="notes")).result.count == 4


def test_lookups_in_another_collection_are_filtered_there(notes: World) -> None:
    """`with_lookup` and `lookup_from`: a foreign point is as if it were not there."""
    ask = like("notes", 11)
    ask.lookup_from.collection_name = "notes-plain"
    assert notes.status(ALPHA, f"{P}Query", ask) is MISSING
    ask = like("notes", 1)
    ask.lookup_from.collection_name = "notes-plain"
    assert ids_in(notes.call(ALPHA, f"{P}Query", ask)) <= set(OWN)


def test_the_other_tenant_has_its_own(notes: World) -> None:
    found = ids_in(notes.call(BETA, f"{P}Scroll", q.ScrollPoints(collection_name="notes", limit=50)))
    assert found == set(FOREIGN)


def test_rest_goes_the_same_way(notes: World) -> None:
    import httpx

    def post(path: str, body: dict[str, Any]) -> Any:
        url = f"{notes.proxy.url}/collections/notes/points{path}"
        return httpx.post(url, json=body, headers={"api-key": ALPHA}, timeout=30)

    found = post("/query", {"query": vector(11), "limit": 20}).json()["result"]["points"]
    assert {one["id"] for one in found} == set(OWN)
    assert {one["id"] for one in post("", {"ids": [1, 11]}).json()["result"]} == {1}
    assert post("/count", {}).json()["result"]["count"] == 4
    assert post("/query", {"query": 11}).status_code == 404
    others = notes.foreign()
    assert post("/delete?wait=true", {"points": [11]}).status_code == 200
    assert notes.foreign() == others
