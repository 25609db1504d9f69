"""In the midst of a key rotation every search answers what it did: rows of both epochs are found, opened and merged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymilvus import MilvusException

from milvus import test_differential_search as settled
from milvus.proxies import serving_milvus
from milvus.rotating import turn
from milvus.search_sides import (
    KEYS,
    METRICS,
    OTHER_QUERIES,
    POLICIES,
    QUERIES,
    ROWS,
    SPARSE,
    SPARSE_QUERIES,
    Side,
    Sides,
    X,
    Y,
    compare,
    make_plain,
    make_rich,
    row,
)
from milvus.servers import MilvusServer
from vecguard.keys.file import FileKeyProvider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NEW = [i for i in range(ROWS) if i % 2]
RICH = {"v": QUERIES, "w": OTHER_QUERIES, "s": SPARSE_QUERIES}


def rich_row(i: int) -> dict[str, Any]:
    return {
        "key": f"k{KEYS[i]}",
        "v": X[i].tolist(),
        "w": Y[i].tolist(),
        "s": SPARSE[i],
        "num": i % 7,
        "part": None if i % 5 == 0 else f"p{i % 13}",
        "price": None if i % 4 == 0 else i / 3,
        "tags": [f"t{i % 4}", "x"],
        "doc": {"a": i, "b": [i % 3]},
    }


@pytest.fixture(scope="module", params=["noised"])
def sides(request: pytest.FixtureRequest, lite: MilvusServer, tmp_path_factory: Any) -> Iterator[Sides]:
    """Rows under each metric, and of several vectors; every other row lies under the new epoch."""
    policy = request.param
    folder = tmp_path_factory.mktemp("rotating")
    with (
        serving_milvus(folder, lite, POLICIES[policy]) as proxy,
        lite.client() as straight,
        proxy.client() as through,
    ):
        both = Side(straight, f"turn_clear_{policy}", lite), Side(through, f"turn_hidden_{policy}", proxy)
        for side in both:
            for metric in METRICS:
                make_plain(side, metric)
            make_rich(side)
        hidden = both[1]
        assert proxy.key_file is not None
        kinds = [metric.lower() for metric in METRICS]
        turn(lite, FileKeyProvider(proxy.key_file), [hidden.name(kind) for kind in (*kinds, "rich")])
        for kind in kinds:
            for half, partition in ((NEW[: ROWS // 4], None), (NEW[ROWS // 4 :], "half")):
                rows = [row(i) | {"v": X[i].tolist()} for i in half]
                through.upsert(hidden.name(kind), rows, partition_name=partition or "")
        through.upsert(hidden.name("rich"), [rich_row(i) for i in NEW])
        yield both


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("what", ["everything", "many", "offset", "searchable filter", "partition"])
def test_searches(sides: Sides, metric: str, what: str) -> None:
    settled.test_searches(sides, metric, what)


@pytest.mark.parametrize("metric", METRICS)
def test_ranges_and_iterators(sides: Sides, metric: str) -> None:
    settled.test_ranges(sides, metric, inner=True, limit=300)
    settled.test_search_iterators(sides, metric, batch=50, limit=-1)


@pytest.mark.parametrize("field", ["num", "cat"])
@pytest.mark.parametrize(("size", "offset"), [(1, 0), (3, 2), (60, 0)])
def test_groups(sides: Sides, field: str, size: int, offset: int) -> None:
    """Of a searchable field, too, whose values lie there in two forms."""
    settled.test_groups(sides, "COSINE", field, size, offset)


@pytest.mark.parametrize("vector", RICH)
@pytest.mark.parametrize("offset", [0, 7])
def test_several_vectors(sides: Sides, vector: str, offset: int) -> None:
    arguments = {"limit": 12, "search_params": {"offset": offset}, "anns_field": vector, "output_fields": ["*"]}
    straight, through = (side.client.search(side.name("rich"), RICH[vector], **arguments) for side in sides)
    compare(straight, through)


def test_rows_that_are_read(sides: Sides) -> None:
    both = [
        {found["key"]: found for found in side.client.query(side.name("rich"), filter="part in ['p1', 'p2', 'p3']")}
        for side in sides
    ]
    assert set(both[0]) == set(both[1])
    assert {key: found["doc"] for key, found in both[0].items()} == {k: f["doc"] for k, f in both[1].items()}


def test_what_both_epochs_cannot_answer_is_refused_by_name(sides: Sides) -> None:
    _, through = sides
    with pytest.raises(MilvusException, match="being rotated"):
        through.client.search(through.name("rich"), SPARSE_QUERIES[:1], anns_field="s", limit=3, group_by_field="part")
    with pytest.raises(MilvusException, match="being rotated"):
        through.client.rename_collection(through.name("rich"), "turn_other")
