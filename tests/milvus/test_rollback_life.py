"""What happens to whole collections of Milvus with `rollback: detect`: verified, adopted, turned to new keys, carried
over, emptied, dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymilvus import CollectionSchema, DataType
from pymilvus.exceptions import MilvusException
from typer.testing import CliRunner

from milvus.proxies import serving_milvus
from milvus.remembered import (
    DIMS,
    EVERY,
    NAMES,
    POLICY,
    TOLD,
    Guarded,
    at_rest,
    made,
    put_back,
    query,
    row,
    sound,
    told,
    upsert,
)
from milvus.servers import truncate
from vecguard.cli import app


@pytest.mark.slow
def test_verify_and_adopt(place: Guarded, box: str) -> None:
    run = CliRunner().invoke
    assert run(app, ["verify", box, *place.arguments()]).exit_code == 0
    before = at_rest(place, box)
    upsert(place, box, 1, seed=20)
    put_back(place, box, before)
    found = run(app, ["verify", box, *place.arguments()])
    assert found.exit_code == 2, found.output
    assert "not the newest" in found.output
    taken = run(app, ["verify", box, "--adopt", *place.arguments()])
    assert taken.exit_code == 0, taken.output
    sound(place.client, box)
    upsert(place, box, 1, seed=30)
    put_back(place, box, before)
    told(place.client, box)
    refused = run(app, ["keys", "rotate", box, *place.arguments()[:4]])  # without the settings it would look foreign
    assert refused.exit_code == 1
    assert "--config" in refused.output


@pytest.mark.slow
def test_a_collection_that_was_there_before(place: Guarded, tmp_path: Path) -> None:
    """Made under a policy that does not ask; then it asks."""
    policy = POLICY.replace('match: "late_*"', 'match: "late_*"\n    integrity: {rollback: detect}')
    with made(place, "late") as name:
        place.client.create_partition(name, "side")
        place.client.load_collection(name)
        place.client.insert(name, [row(8)], partition_name="side")
        arguments = ("--config", str(place.settings))
        with (
            serving_milvus(
                tmp_path, place.server, policy, key_file=place.proxies[0].key_file, arguments=arguments
            ) as now,
            now.client() as client,
        ):
            with pytest.raises(MilvusException, match=r"nothing is remembered.*--adopt"):
                query(client, name, ["*"])
            taken = CliRunner().invoke(app, ["verify", name, "--adopt", *place.arguments()])
            assert taken.exit_code == 0, taken.output
            assert {one["pk"] for one in query(client, name, ["*"])} == EVERY | {8}
            with pytest.raises(MilvusException, match="in another partition"):
                client.upsert(name, [row(8)])
            before = at_rest(place, name)
            client.upsert(name, [row(1, 20)])
            put_back(place, name, before)
            with pytest.raises(MilvusException, match=TOLD):
                query(client, name, ["*"])


@pytest.mark.slow
def test_rotation_and_retention(place: Guarded) -> None:
    """Rows that are moved to new keys are the newest; what was put back is named, and not moved."""
    with made(place, "kept") as name:
        upsert(place, name, 2, seed=20)
        older = at_rest(place, name)
        upsert(place, name, 1, seed=20)

        rotated = CliRunner().invoke(app, ["keys", "rotate", name, *place.arguments("--settle", "2.2")])
        assert rotated.exit_code == 0, rotated.output
        for client in place.clients:
            sound(client, name)
        put_back(place, name, {1: older[1]})  # it does not even open any more
        told(place.client, name, "query *", "search")
        place.client.delete(name, ids=[1])
        rules = ("--policy", str(place.proxies[0].policy))
        swept = CliRunner().invoke(app, ["retention", "sweep", *place.arguments(*rules)])
        assert swept.exit_code == 0, swept.output
        sound(place.client, name, EVERY - {1})


@pytest.mark.slow
def test_planted_rows(lite_place: Guarded) -> None:
    place = lite_place
    name, client = f"trap_rollback_{next(NAMES)}", place.client
    schema = client.create_schema(auto_id=False)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("text", DataType.VARCHAR, max_length=64)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index)
    draw = np.random.default_rng(1)
    client.insert(name, [{"pk": i, "v": draw.normal(size=DIMS).tolist(), "text": f"a text {i}"} for i in range(300)])
    client.load_collection(name)
    planted = CliRunner().invoke(
        app, ["canaries", "plant", name, *place.arguments("--policy", str(place.proxies[0].policy))]
    )
    assert planted.exit_code == 0, planted.output
    assert len(client.query(name, filter="", limit=400, output_fields=["text"])) == 300
    found = client.search(name, [[0.1] * DIMS], anns_field="v", limit=300, output_fields=["text"])
    assert {hit.id for hit in found[0]} == set(range(300))
    client.drop_collection(name)


@pytest.mark.slow
def test_carried_over(lite_place: Guarded, tmp_path: Path) -> None:
    """`vecguard migrate` into a collection of which it is remembered what is newest."""
    place = lite_place
    with made(place, "late") as old, made(place, "box") as new:
        place.client.drop_collection(new)
        rules = ("--policy", str(place.proxies[0].policy), "--state", str(tmp_path / "state"))
        carried = CliRunner().invoke(app, ["migrate", old, "--to", new, *place.arguments(*rules)])
        assert carried.exit_code == 0, carried.output
        sound(place.client, new)
        before = at_rest(place, new)
        upsert(place, new, 1, seed=20)
        put_back(place, new, before)
        told(place.client, new)


@pytest.mark.slow
def test_a_tenants_rows_are_destroyed(lite_place: Guarded) -> None:
    """Their deletion is told to the memory, so that nothing looks missing, and what is put back is told."""
    place, run = lite_place, CliRunner().invoke
    with made(place, "keyed") as name:
        before = at_rest(place, name)
        shred = ["keys", "shred", name, "--tenant", "open 1", "--confirm", "open 1"]
        done = run(app, [*shred, *place.arguments()])
        assert done.exit_code == 0, done.output
        sound(place.client, name, EVERY - {1})
        looked = run(app, ["verify", name, *place.arguments()])
        assert (looked.exit_code, "more are remembered" in looked.output) == (0, False), looked.output
        put_back(place, name, before)
        with pytest.raises(MilvusException):
            query(place.client, name, ["*"])
        assert "not the newest" in run(app, ["verify", name, *place.arguments()]).output


@pytest.mark.slow
def test_a_dropped_collection_put_back(lite_place: Guarded) -> None:
    """All of it, as it was: it was forgotten, so nothing of it is served."""
    place = lite_place
    with made(place, "box") as name:
        rows, described = at_rest(place, name), place.raw.describe_collection(name)
        place.client.drop_collection(name)
        schema = CollectionSchema.construct_from_dict(described)
        index = place.raw.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        place.raw.create_collection(name, schema=schema, index_params=index, properties=described["properties"])
        place.raw.insert(name, list(rows.values()))
        place.raw.load_collection(name)
        for client in place.clients:
            with pytest.raises(MilvusException, match="nothing is remembered"):
                query(client, name, ["*"])
        with pytest.raises(MilvusException, match="nothing is remembered"):
            upsert(place, name, 1)


@pytest.mark.slow
def test_made_again_renamed_and_called_otherwise(place: Guarded) -> None:
    with made(place, "box") as name:
        client, other = place.client, f"box_rollback_{next(NAMES)}"
        client.create_alias(name, f"{name}_also")
        upsert(place, f"{name}_also", 1, seed=20)
        sound(place.clients[1], name)
        client.drop_alias(f"{name}_also")
        client.rename_collection(name, other)
        client.load_collection(other)
        sound(client, other)
        before = at_rest(place, other)
        upsert(place, other, 2, seed=20)
        put_back(place, other, before)
        told(client, other)
        client.rename_collection(other, name)
    with made(place, "box") as again:
        sound(place.client, again)


@pytest.mark.slow
def test_emptied(lite_place: Guarded) -> None:
    """Truncation, which the real 2.3.5 does not have: rows of before, put back, are told."""
    place = lite_place
    with made(place, "box") as name:
        before = at_rest(place, name)
        truncate(place.client, name)
        assert query(place.clients[1], name, ["*"]) == []
        place.client.insert(name, [row(i) for i in sorted(EVERY - {6})])
        sound(place.client, name, EVERY - {6})
        put_back(place, name, {6: before[6]})
        told(place.client, name)
