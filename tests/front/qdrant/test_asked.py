"""What Qdrant's requests ask for."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.front.qdrant.asked import asked
from vecguard.model import Asked

NESTED = q.PrefetchQuery(limit=70, prefetch=[q.PrefetchQuery(limit=90), q.PrefetchQuery()])
POINTS = [q.PointStruct()] * 3


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (q.GetPoints(ids=[q.PointId(num=1)] * 4), Asked(4, 4)),
        (q.ScrollPoints(), Asked(10, 10)),
        (q.ScrollPoints(limit=50), Asked(50, 50)),
        (q.FacetCounts(limit=50), Asked(50, 50)),
        (q.QueryPoints(), Asked(10, 10)),
        (q.QueryPoints(limit=5, offset=7), Asked(12, 12)),
        (q.QueryPoints(limit=5, prefetch=[NESTED]), Asked(90, 175)),
        (q.SearchPoints(limit=5, offset=7), Asked(12, 12)),
        (q.RecommendPoints(limit=5), Asked(5, 5)),
        (q.DiscoverPoints(limit=5), Asked(5, 5)),
        (q.QueryBatchPoints(query_points=[q.QueryPoints(limit=5), q.QueryPoints(limit=9)]), Asked(9, 14)),
        (q.SearchBatchPoints(search_points=[q.SearchPoints(limit=5)] * 3), Asked(5, 15)),
        (q.SearchBatchPoints(), Asked(0, 0)),
        (q.QueryPointGroups(limit=5, group_size=4), Asked(20, 20)),
        (q.QueryPointGroups(prefetch=[NESTED]), Asked(90, 200)),
        (q.SearchPointGroups(limit=5, group_size=4), Asked(20, 20)),
        (q.RecommendPointGroups(limit=5), Asked(15, 15)),
        (q.SearchMatrixPoints(sample=20, limit=4), Asked(20, 80)),
        (q.CountPoints(), Asked(0, 0)),
        (q.UpsertPoints(points=POINTS), Asked(0, 0, 3)),
        (
            q.UpdateBatchPoints(
                operations=[
                    q.PointsUpdateOperation(upsert=q.PointsUpdateOperation.PointStructList(points=POINTS)),
                    q.PointsUpdateOperation(clear_payload=q.PointsUpdateOperation.ClearPayload()),
                ]
            ),
            Asked(0, 0, 4),
        ),
    ],
)
def test_asked(ask: Message, expected: Asked) -> None:
    assert asked(ask) == expected
