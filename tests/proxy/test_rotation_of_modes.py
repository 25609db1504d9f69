"""Key rotation, and a look at every record, of a collection with labels, encrypted ids and hidden names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from qdrant_client import grpc as q
from qdrant_client import models
from serving import Server

from proxy.behind import guarded, manifest_of
from proxy.test_rotation import QUICK, rotate_command, run
from proxy.test_verify import looked

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "*"
    payload: {default: sealed, fields: {price: range, rows.price: range, text: tokens}, hash_names: true}
    ids: encrypted
"""
NAME = "moding"
SEALED = re.compile("[A-Za-z0-9_.-]{40,}")
"""What is sealed, or a hidden name: some hundred letters, in which four may make a word by chance."""
QUESTIONS = (
    models.FieldCondition(key="price", range=models.Range(gte=3, lt=9)),
    models.FieldCondition(key="rows[].price", range=models.Range(gt=12)),
    models.FieldCondition(key="text", match=models.MatchText(text="number three")),
    models.HasIdCondition(has_id=[1, 4, 99]),
)


def keys_within(payload: Mapping[str, q.Value]) -> Iterator[str]:
    """The keys of a stored payload's maps below `_p`, at any depth."""
    waiting = [payload["_p"]]
    while waiting:
        value = waiting.pop()
        waiting += value.list_value.values
        yield from value.struct_value.fields
        waiting += value.struct_value.fields.values()


@pytest.mark.slow
def test_labels_ids_and_names_outlive_a_rotation(engine: Server, tmp_path: Path) -> None:
    words = ("three", "four", "five")
    points = [
        models.PointStruct(
            id=i, vector=[1.0, i], payload={"price": i, "rows": [{"price": 2 * i}], "text": f"Number {words[i % 3]}"}
        )
        for i in range(12)
    ]
    with guarded(engine, tmp_path, POLICY) as place, closing(place.proxy.client()) as client:
        client.create_collection(NAME, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
        client.create_payload_index(NAME, "rows[].price", models.PayloadSchemaType.FLOAT, wait=True)
        client.upsert(NAME, points, wait=True)
        assert list(client.get_collection(NAME).payload_schema) == ["rows[].price"]

        def at_rest() -> set[str]:
            """Keys of everything that the database holds of the collection, but ours."""
            listed = place.rest.points.Scroll(q.ScrollPoints(collection_name=NAME, limit=50)).result
            info = place.rest.collections.Get(q.GetCollectionInfoRequest(collection_name=NAME)).result
            told = SEALED.sub("", str(info))
            assert not {name for name in ("rows", "price", "text") if name in told}
            return {key for point in listed for key in keys_within(point.payload)}

        names = at_rest()
        # price, rows, text, rows.price, and the labels of all but rows
        assert len(names) == 7
        assert all(name.removeprefix("_vgl_").startswith("n") and len(name) > 50 for name in names)

        def answers() -> list[list[int]]:
            filters = [models.Filter(must=[question]) for question in QUESTIONS]
            return [sorted(one.id for one in client.scroll(NAME, scroll_filter=f, limit=50)[0]) for f in filters]

        before, was = answers(), sorted(client.scroll(NAME, limit=50, with_vectors=True)[0], key=lambda one: one.id)
        assert before == [[3, 4, 5, 6, 7, 8], [7, 8, 9, 10, 11], [0, 3, 6, 9], [1, 4]]
        done = run(rotate_command(place.proxy, NAME, *QUICK, upstream=f"qdrant://{place.engine.target}"))
        assert done.returncode == 0, done.stderr
        assert manifest_of(place, NAME)[0].epochs.keys() == {2}
        place.forget()
        assert answers() == before
        now = sorted(client.scroll(NAME, limit=50, with_vectors=True)[0], key=lambda one: one.id)
        assert [(one.id, one.payload) for one in now] == [(one.id, one.payload) for one in was]
        assert at_rest() == names
        found = looked(place, NAME)
        assert (found.records, found.bad) == (len(points), {})
        client.delete_collection(NAME)
