"""`rollback: detect` on Milvus: a row, or a column of one, that somebody behind the proxy put back is never served."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from proxy.processes import until
from pymilvus import AnnSearchRequest, DataType, MilvusClient, RRFRanker
from pymilvus.exceptions import MilvusException

from milvus.remembered import (
    DIMS,
    EVERY,
    NAMES,
    PAST_S,
    TOLD,
    Guarded,
    Row,
    at_rest,
    made,
    put,
    put_back,
    query,
    reads,
    row,
    sound,
    told,
    upsert,
)


@pytest.fixture(params=["lite-box", "lite-hidden", "lite-kept", "real-box"])
def spot(request: pytest.FixtureRequest) -> Iterator[tuple[Guarded, str]]:
    server, _, kind = request.param.partition("-")
    place: Guarded = request.getfixturevalue(f"{server}_place")
    with made(place, kind) as name:
        yield place, name


def test_what_is_the_newest_is_read(spot: tuple[Guarded, str]) -> None:
    place, name = spot
    sound(place.client, name, kinds=reads(place.client, name))
    upsert(place, name, 1, 2, seed=50)
    for client in place.clients:
        sound(client, name, kinds=reads(client, name))
        found = {one["pk"]: one for one in query(client, name, ["*"])}
        assert found[1]["shut"] == "shut 51"
        assert found[1]["more"] == {"held": [51, None, "x"]}
        assert found[3]["doc"] == row(3)["doc"]


@pytest.mark.slow
def test_a_whole_row_put_back(spot: tuple[Guarded, str]) -> None:
    place, name = spot
    before = at_rest(place, name)
    upsert(place, name, 1, seed=20)
    sound(place.clients[1], name)
    put_back(place, name, before)
    told(place.client, name, *reads(place.client, name))
    told(place.clients[1], name)
    upsert(place, name, 1, seed=40, by=1)  # written anew, it is the newest again
    sound(place.client, name)


@pytest.mark.slow
def test_a_deleted_row_put_back(spot: tuple[Guarded, str]) -> None:
    place, name = spot
    before = at_rest(place, name)
    place.client.delete(name, ids=[2])
    sound(place.clients[1], name, EVERY - {2})
    put_back(place, name, before)
    told(place.client, name)
    with pytest.raises(MilvusException, match=TOLD):  # whatever is asked of it
        query(place.client, name, ["pk"])
    place.client.delete(name, ids=[2])
    sound(place.client, name, EVERY - {2})
    place.client.insert(name, [row(2)])
    sound(place.client, name)


SHOWN_BY = {
    "shut": ("query *", "query shut", "search all", "iterator"),
    "open": ("query *", "query open-price", "search all"),
    "price": ("query *", "query open-price", "search all"),
    "tag": ("query *", "get", "search all"),
    "list": ("query *", "query list-doc", "search all"),
    "doc": ("query *", "query list-doc", "search all"),
    "v": ("query *", "query v", "search", "search all", "search some"),
    "color": ("query *", "query color", "search all", "search some"),
    "shape": ("query *", "query color", "search all", "search some"),
}


@pytest.mark.slow
@pytest.mark.parametrize("column", SHOWN_BY)
def test_one_column_put_back(lite_place: Guarded, column: str) -> None:
    """With all else as it is; a vector with its record, else it does not open at all."""
    with made(lite_place, "box") as name:
        _one_column_put_back(lite_place, name, column)


def _one_column_put_back(place: Guarded, box: str, column: str) -> None:
    before = at_rest(place, box)
    upsert(place, box, 3, seed=60)
    time.sleep(PAST_S)
    now = at_rest(place, box)[3]
    held = ("v", "_vg_v") if column == "v" else (column,)
    put(place, box, [{**now, **{part: before[3][part] for part in held}}])
    told(place.client, box, *SHOWN_BY[column])
    for kind, read in reads(place.client, box).items():
        if kind in ("query shut", "get") and kind not in SHOWN_BY[column]:
            assert read() == EVERY  # nothing that they show is older
    upsert(place, box, 3)
    sound(place.client, box)


@pytest.mark.slow
def test_dynamic_fields_that_come_and_go(place: Guarded, box: str) -> None:
    """Milvus lets go of those that an upsert leaves out, Milvus Lite keeps them: whatever it does is the newest."""
    bare = {key: value for key, value in row(3).items() if key not in ("color", "more")}
    place.client.upsert(box, [bare])
    time.sleep(PAST_S)
    sound(place.client, box)
    kept = at_rest(place, box)[3]
    assert ("color" in kept) is not place.is_real
    place.client.upsert(box, [{**row(3), "size": "large", "color": "newer"}])
    time.sleep(PAST_S)
    now = at_rest(place, box)[3]
    put(place, box, [{**now, "color": "somebody's", "size": None}])
    told(place.client, box, "query color", "query *", "query $meta", "search some")
    place.raw.delete(box, ids=[3])
    place.raw.insert(box, [{key: value for key, value in now.items() if key != "size"}])  # one that is missing
    told(place.client, box, "query color", "query *", "query $meta", "search some")


Deletion = Callable[[MilvusClient, str], object]
DELETIONS: dict[str, Deletion] = {
    "by a plain field": lambda client, name: client.delete(name, filter='open == "open 2"'),
    "by a searchable one": lambda client, name: client.delete(name, filter='tag in ["tag 2"]'),
    "by a template": lambda client, name: client.delete(
        name, filter="open == {which}", filter_params={"which": "open 2"}
    ),
    "by keys and more": lambda client, name: client.delete(name, filter='pk in [1, 2] and tag == "tag 2"'),
    "by a key": lambda client, name: client.delete(name, filter="pk == 2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("deletion", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.parametrize("kind", ["box", "hidden"])
def test_deletions_put_back(lite_place: Guarded, kind: str, deletion: Deletion) -> None:
    place = lite_place
    with made(place, kind) as name:
        before = at_rest(place, name)
        deletion(place.client, name)
        sound(place.clients[1], name, EVERY - {2})
        put_back(place, name, before)
        told(place.client, name)


def test_a_deletion_that_selects_nothing(place: Guarded, box: str) -> None:
    place.client.delete(box, filter='open == "nowhere"')
    sound(place.client, box)
    with pytest.raises(MilvusException, match="random_sample"):
        place.client.delete(box, filter="random_sample(0.5)")


def test_a_large_deletion(place: Guarded, box: str) -> None:
    """More than are looked up at once."""
    client = place.client
    many = [{**row(i), "open": "many", "pk": i} for i in range(100, 1_300)]
    for start in range(0, len(many), 300):
        client.insert(box, many[start : start + 300])
    client.delete(box, filter='open == "many"')
    sound(client, box)


def test_no_second_row_of_one_key(place: Guarded, box: str) -> None:
    client = place.client
    with pytest.raises(MilvusException, match=r"primary key 2 is there already.*use upsert"):
        client.insert(box, [row(9), row(2, seed=3)])
    with pytest.raises(MilvusException, match="duplicate primary keys"):
        client.upsert(box, [row(9), row(9, seed=1)])
    sound(client, box)
    client.insert(box, [row(9)])
    assert {one["pk"] for one in query(client, box, ["*"])} == EVERY | {9}
    client.delete(box, ids=[9, 2])
    place.clients[1].insert(box, [row(2, seed=3)])
    sound(client, box)


def test_rows_that_a_dropped_partition_had(place: Guarded, box: str) -> None:
    client = place.client
    client.create_partition(box, "side")
    client.insert(box, [row(20)], partition_name="side")
    client.load_collection(box)
    with pytest.raises(MilvusException, match=r"primary key 20 is in another partition.*delete it"):
        client.upsert(box, [row(20, seed=5)])
    client.upsert(box, [row(20, seed=5)], partition_name="side")
    # 3 is not there; Milvus Lite looks in all partitions.
    client.delete(box, filter="pk in [20, 3]" if place.is_real else "pk == 20", partition_name="side")
    sound(client, box)
    client.insert(box, [row(21)], partition_name="side")
    if place.is_real:
        client.release_partitions(box, ["side"])
    client.drop_partition(box, "side")
    client.insert(box, [row(21)])  # it went with its partition
    client.delete(box, ids=[21])
    sound(client, box)


@pytest.mark.slow
def test_rows_in_partitions_put_back(place: Guarded, box: str) -> None:
    client = place.client
    client.create_partition(box, "side")
    client.load_collection(box)
    client.insert(box, [row(7)], partition_name="side")
    before = place.raw.query(box, filter="pk == 7", output_fields=["*"], consistency_level="Strong")
    client.delete(box, filter='open == "open 7"', partition_name="side")
    sound(client, box)
    time.sleep(PAST_S)
    place.raw.upsert(box, [dict(before[0])], partition_name="side")
    told(client, box, "query *", "search")


@pytest.mark.slow
def test_keys_that_the_database_makes(place: Guarded) -> None:
    with made(place, "box", auto=True) as name:
        client = place.client
        rows = {one["number"]: one for one in query(client, name, ["*"])}
        assert rows.keys() == EVERY
        before = at_rest(place, name)
        client.delete(name, ids=[rows[1]["pk"]])
        client.delete(name, filter='tag == "tag 2"')
        assert {one["number"] for one in query(client, name, ["number"])} == EVERY - {1, 2}
        time.sleep(PAST_S)
        gone = [one for key, one in before.items() if key not in at_rest(place, name)]
        place.raw.insert(name, [{key: value for key, value in one.items() if key != "pk"} for one in gone])
        for outputs in (["*"], ["number"], ["pk"], ["shut"]):
            with pytest.raises(MilvusException, match=TOLD):
                query(client, name, outputs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["box", "hidden"])
def test_some_columns_written(lite_place: Guarded, kind: str) -> None:
    """Partial upserts, which the real 2.3.5 does not have."""
    place = lite_place
    with made(place, kind) as name:
        client = place.client
        for part in ({"shut": "newer"}, {"open": "newer", "price": 2.5}, {"v": row(70)["v"]}, {"color": "newer"}):
            before = at_rest(place, name)
            client.upsert(name, [{"pk": 3, **part}], partial_update=True)
            sound(place.clients[1], name)
            found = {one["pk"]: one for one in query(client, name, ["*"])}[3]
            assert all(found[key] == value for key, value in part.items() if key != "v")
            put_back(place, name, before)
            told(client, name, "query *", "search all")
            upsert(place, name, 3)
            sound(client, name)


@pytest.mark.slow
def test_null_and_defaults(lite_place: Guarded) -> None:
    place, client = lite_place, lite_place.client
    name = f"box_rollback_{next(NAMES)}"
    schema = client.create_schema(auto_id=False)
    schema.add_field("pk", DataType.VARCHAR, max_length=16, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("w", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("shut", DataType.VARCHAR, max_length=64, nullable=True)
    schema.add_field("open", DataType.VARCHAR, max_length=64, default_value="nobody said")
    schema.add_field("shape", DataType.INT64, nullable=True)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="L2")
    index.add_index("w", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index)
    rows = [
        {"pk": "a", "v": row(1)["v"], "w": {1: 0.5, 9: 0.25}, "shut": None, "shape": 5},
        {"pk": "b", "v": row(2)["v"], "w": {2: 0.5}, "shut": "text", "open": "nobody said", "shape": None},
        {"pk": "c", "v": row(3)["v"], "w": {3: 0.5}, "shut": "text", "open": "somebody"},
    ]
    client.insert(name, rows)
    client.load_collection(name)

    def shown() -> dict[str, str]:
        return {one["pk"]: one["open"] for one in client.query(name, filter='pk >= ""', output_fields=["*"])}

    assert shown() == {"a": "nobody said", "b": "nobody said", "c": "somebody"}
    before = at_rest(place, name)
    client.upsert(name, [{**rows[2], "open": "nobody said", "shut": None}])
    assert shown()["c"] == "nobody said"
    for outputs in (["open"], ["shut"]):
        time.sleep(PAST_S)
        now = at_rest(place, name)["c"]
        put(place, name, [{**now, outputs[0]: before["c"][outputs[0]]}])
        with pytest.raises(MilvusException, match=TOLD):
            client.query(name, filter='pk == "c"', output_fields=outputs)
        client.upsert(name, [{**rows[2], "open": "nobody said", "shut": None}])
    assert {hit.id for hit in client.search(name, [{1: 1.0, 2: 1.0, 3: 1.0}], anns_field="w", limit=5)[0]} == {*"abc"}
    dense = AnnSearchRequest([row(1)["v"]], "v", {}, limit=5)
    words = AnnSearchRequest([{1: 1.0, 2: 1.0, 3: 1.0}], "w", {}, limit=5)
    fused = client.hybrid_search(name, [dense, words], RRFRanker(), limit=5, output_fields=["open"])
    assert {hit.id for hit in fused[0]} == {*"abc"}
    put(place, name, [before["c"]])
    for search in (
        lambda: client.search(name, [{3: 1.0}], anns_field="w", limit=5),
        lambda: client.hybrid_search(name, [dense, words], RRFRanker(), limit=5),
    ):
        if before["c"]["_vg_w"] == at_rest(place, name)["c"]["_vg_w"]:
            search()  # the vector is the same, and nothing else is shown
    with pytest.raises(MilvusException, match=TOLD):
        client.hybrid_search(name, [dense, words], RRFRanker(), limit=5, output_fields=["open"])
    client.drop_collection(name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "keyed"])
def test_other_protections(lite_place: Guarded, kind: str) -> None:
    """Searches that the database answers itself; and rows under keys of their tenants."""
    place = lite_place
    with made(place, kind) as name:
        sound(place.client, name)
        before = at_rest(place, name)
        upsert(place, name, 1, seed=20)
        sound(place.clients[1], name)
        put_back(place, name, before)
        told(place.client, name)


@pytest.mark.slow
def test_a_grouped_search(lite_place: Guarded) -> None:
    place = lite_place
    for kind in ("box", "exact"):
        with made(place, kind) as name:
            client = place.client

            def grouped() -> set[str]:
                found = client.search(name, [row(3)["v"]], anns_field="v", limit=20, group_by_field="tag")  # noqa: B023
                return {str(hit.id) for hit in found[0]}

            assert grouped() == {str(key) for key in EVERY}
            before = at_rest(place, name)
            upsert(place, name, 3, seed=60)
            time.sleep(PAST_S)
            put(place, name, [{**at_rest(place, name)[3], "tag": before[3]["tag"]}])
            with pytest.raises(MilvusException, match=TOLD):
                grouped()


@pytest.mark.slow
def test_older_rows_are_left_out_where_the_policy_says_so(place: Guarded) -> None:
    with made(place, "drop") as name:
        before = at_rest(place, name)
        upsert(place, name, 1, seed=20)
        place.client.delete(name, ids=[2])
        put_back(place, name, before)
        for client in place.clients:
            assert reads(client, name)["query *"]() == EVERY - {1, 2}
            assert reads(client, name)["iterator"]() == EVERY - {1, 2}
            found = client.search(name, [row(3)["v"]], anns_field="v", limit=20, output_fields=["*"])
            assert {hit.id for hit in found[0]} == EVERY - {1, 2}

        def events() -> list[Row]:
            return [json.loads(line) for line in place.proxies[0].logs.splitlines() if '"event":"integrity"' in line]

        until(lambda: any(one["collection"] == name for one in events()))
        seen = [one for one in events() if one["collection"] == name]
        assert {key for one in seen for key in one["ids"]} == {"1", "2"}
        assert all(one["rolled_back"] and one["outcome"] == "drop" for one in seen)


@pytest.mark.slow
def test_writers_and_readers_at_once(place: Guarded, box: str) -> None:
    """Four writers through two proxies, and four readers: what is read is never taken for a rollback."""
    ends, wrong, counts = time.monotonic() + (40 if place.is_real else 25), list[str](), [0, 0]

    def writes(number: int) -> None:
        draw, client = random.Random(number), place.clients[number % 2]
        while time.monotonic() < ends and not wrong:
            key = draw.randrange(1, 7)
            try:
                match draw.randrange(4):
                    case 0:
                        client.delete(box, ids=[key])
                    case 1:
                        client.delete(box, filter=f'tag == "tag {key}" or open == "open {key + 1}"')
                    case _:
                        client.upsert(box, [row(key, draw.randrange(3)), row(7 - key if key != 3 else 6)])
                counts[0] += 1
            except MilvusException as error:
                wrong.append(f"write: {error}")

    def looks(number: int) -> None:
        for kind, read in itertools.cycle(reads(place.clients[number % 2], box).items()):
            if time.monotonic() >= ends or wrong:
                return
            try:
                read()
                counts[1] += 1
            except MilvusException as error:
                if "incomplete query result" not in str(error):  # 2.3.5 says so where a row goes while it is found
                    wrong.append(f"{kind}: {error}")

    threads = [threading.Thread(target=act, args=(i,)) for i in range(4) for act in (writes, looks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(counts) > 30, counts
