"""The quick way of an upsert's body says what the model says, and takes nothing that the model refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.rest.points_body import PointsBody, floats, quick_points

BODY = PointsBody()
UUID = "0e41c6b1-9f1c-4d7a-b1b3-111111111111"


def by_model(raw: bytes) -> list[q.PointStruct] | None:
    """The points as the model has them; None where it refuses the body."""
    from vecguard.front.rest.conversion import into_grpc
    from vecguard.front.rest.points_body import _by_model

    try:
        body = BODY._slow.read(raw)
        with into_grpc():
            return list(_by_model(body).points)
    except InvalidArgument:
        return None


def agree(value: Any) -> bool:
    """Assert that both ways agree; whether the quick one took the body."""
    raw = json.dumps(value).encode()
    try:
        quick = quick_points(raw)
    except InvalidArgument:
        assert by_model(raw) is None
        return False
    if quick is not None:
        assert quick == by_model(raw)
    return quick is not None


def point(**fields: Any) -> dict[str, Any]:
    return {"id": 1, "vector": [0.5, 1], **fields}


QUICK: dict[str, Any] = {
    "dense": [point()],
    "uuid": [point(id=UUID)],
    "text-id": [point(id="not-a-uuid")],
    "largest-id": [point(id=2**64 - 1)],
    "multi": [point(vector=[[1, 2], [3, 4.5]])],
    "uneven-multi": [point(vector=[[1, 2], [3]])],
    "named": [point(vector={"a": [1, 2], "b": [[1], [2]], "": [3]})],
    "sparse": [point(vector={"s": {"indices": [4294967295, 0], "values": [1, -2.5]}})],
    "no-vectors": [point(vector={})],
    "payload": [point(payload={"a": None, "b": [1, 2.5, True, {"c": "ü"}], "": {}, "n": -(2**63)})],
    "no-payload": [point(payload=None), point(payload={})],
    "large-numbers": [point(payload={"a": 2**64, "b": -(2**63) - 1})],
    "huge": [point(vector=[1e300, -1e300, 1e-300])],
    "nothing": [],
}
SLOW: dict[str, Any] = {
    "empty-vector": [point(vector=[])],
    "empty-row": [point(vector=[[1], []])],
    "empty-sparse": [point(vector={"s": {"indices": [], "values": []}})],
    "document": [point(vector={"text": "words", "model": "m"})],
    "named-document": [point(vector={"v": {"text": "words", "model": "m"}})],
}
REFUSED: dict[str, Any] = {
    "unknown": [point(extra=1)],
    "no-id": [{"vector": [1]}],
    "no-vector": [{"id": 1}],
    "null-vector": [point(vector=None)],
    "null-id": [point(id=None)],
    "flag-id": [point(id=True)],
    "float-id": [point(id=1.0)],
    "negative-id": [point(id=-1)],
    "too-large-id": [point(id=2**64)],
    "flag": [point(vector=[1, True])],
    "null": [point(vector=[1, None])],
    "text": [point(vector=[1, "2"])],
    "mixed": [point(vector=[1, [2]])],
    "mixed-2": [point(vector=[[1], 2])],
    "deep": [point(vector=[[[1]]])],
    "named-null": [point(vector={"v": None})],
    "named-text": [point(vector={"v": "x"})],
    "sparse-more": [point(vector={"s": {"indices": [1], "values": [1], "x": 1}})],
    "sparse-less": [point(vector={"s": {"indices": [1]}})],
    "sparse-float-index": [point(vector={"s": {"indices": [1.0], "values": [1]}})],
    "sparse-flag-index": [point(vector={"s": {"indices": [True], "values": [1]}})],
    "sparse-negative-index": [point(vector={"s": {"indices": [-1], "values": [1]}})],
    "sparse-large-index": [point(vector={"s": {"indices": [2**32], "values": [1]}})],
    "list-payload": [point(payload=[1])],
    "text-payload": [point(payload="x")],
    "unsigned": [point(payload={"a": [{"b": 2**63}]})],
    "no-list": {"id": 1},
    "no-object": [1],
}


@pytest.mark.parametrize("name", QUICK)
def test_plain_points_go_the_quick_way(name: str) -> None:
    assert agree({"points": QUICK[name]})


@pytest.mark.parametrize("name", SLOW)
def test_others_go_by_the_model(name: str) -> None:
    value = {"points": SLOW[name]}
    assert not agree(value)
    assert len(BODY.read(json.dumps(value).encode()).points) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_model_refuses_is_refused(name: str) -> None:
    value = {"points": REFUSED[name]}
    assert not agree(value)
    with pytest.raises(InvalidArgument, match="Format error in JSON body"):
        BODY.read(json.dumps(value).encode())


@pytest.mark.parametrize(
    "batch",
    [
        {"ids": [1, UUID], "vectors": [[1, 2], [3, 4]]},
        {"ids": [1], "vectors": [[1, 2]], "payloads": [{"a": 1}]},
        {"ids": [1], "vectors": [[1, 2]], "payloads": None},
        {"ids": [1, 2], "vectors": [[[1], [2]], [[3]]]},
        {"ids": [], "vectors": []},
        {"ids": [1], "vectors": [[1]], "payloads": [{"a": 2**64}]},
    ],
)
def test_columns_go_the_quick_way(batch: Any) -> None:
    assert agree({"batch": batch})


@pytest.mark.parametrize(
    "batch",
    [
        {"ids": [1], "vectors": {"v": [[1, 2]], "s": [{"indices": [1], "values": [1]}]}},
        {"ids": [1, 2], "vectors": [[1, 2]]},
        {"ids": [1], "vectors": [[1, 2]], "payloads": []},
        {"ids": [1], "vectors": [[1, 2]], "payloads": [None]},
        {"ids": [1, 2], "vectors": [[1, 2], [[1]]]},
        {"ids": [1], "vectors": {"v": []}},
        {"ids": [1], "vectors": [{}]},
        {"ids": [1], "vectors": [[1]], "payloads": [{"a": 2**63}]},
        {"ids": [1], "vectors": [[1]], "extra": 1},
        {"ids": [1]},
        [],
        None,
    ],
)
def test_other_columns_go_by_the_model(batch: Any) -> None:
    assert not agree({"batch": batch})


@pytest.mark.parametrize(
    "more", [{"shard_key": "a"}, {"update_filter": {}}, {"update_mode": "upsert"}, {"batch": {}}, {"x": 1}]
)
def test_options_go_by_the_model(more: Any) -> None:
    assert not agree({"points": [point()], **more})


def test_options_are_kept() -> None:
    value = {
        "points": [point()],
        "shard_key": ["a", 1],
        "update_filter": {"must": [{"has_id": [1]}]},
        "update_mode": "update_only",
    }
    read = BODY.read(json.dumps(value).encode())
    assert [key.keyword or key.number for key in read.shard_key.shard_keys] == ["a", 1]
    assert read.update_filter.must[0].has_id.has_id[0].num == 1
    assert read.update_mode == q.UpdateMode.UpdateOnly
    assert BODY.read(b'{"points":[],"update_mode":"upsert"}').update_mode == q.UpdateMode.Upsert


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
DENSE = st.lists(NUMBERS, max_size=3)
SPARSE = st.fixed_dictionaries({"indices": st.lists(st.integers(-1, 2**32), max_size=2), "values": DENSE})
VECTORS = (
    DENSE
    | st.lists(DENSE, max_size=2)
    | SPARSE
    | st.dictionaries(st.sampled_from("ab"), DENSE | SPARSE | ANY_JSON)
    | ANY_JSON
)
POINTS = st.fixed_dictionaries(
    {"id": st.integers(-1, 2**64) | st.text(max_size=3) | ANY_JSON, "vector": VECTORS},
    optional={"payload": st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=2) | ANY_JSON, "x": ANY_JSON},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(POINTS, max_size=2))
def test_both_ways_agree_on_anything(points: list[Any]) -> None:
    agree({"points": points})


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=3), st.lists(VECTORS, max_size=3), st.lists(ANY_JSON, max_size=3) | st.none()
)
def test_both_ways_agree_on_any_columns(ids: list[int], vectors: list[Any], payloads: list[Any] | None) -> None:
    agree({"batch": {"ids": ids, "vectors": vectors, "payloads": payloads}})


def test_floats_are_rounded_as_protobuf_rounds_them() -> None:
    values = [*np.random.default_rng(1).standard_normal(500).tolist(), 1e-46, 3.4028235677973366e38, 16777217]
    expected = np.array(q.DenseVector(data=values).data, np.float32)
    assert floats(values).tobytes() == expected.tobytes()
    assert floats([]) is None
    assert floats([1, True]) is None
