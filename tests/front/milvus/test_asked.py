"""What Milvus' requests ask for."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from vecguard.front.milvus.asked import asked
from vecguard.front.milvus.proto import c, m
from vecguard.model import Asked


def pairs(**given: object) -> list[c.KeyValuePair]:
    return [c.KeyValuePair(key=key, value=str(value)) for key, value in given.items()]


SEARCH = m.SearchRequest(nq=3, search_params=pairs(topk=5, offset=2, metric_type="L2", params="{}"))


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (SEARCH, Asked(7, 21)),
        (m.SearchRequest(search_params=pairs(topk="0x10", group_size=3)), Asked(48, 48)),
        (m.HybridSearchRequest(requests=[SEARCH, SEARCH], rank_params=pairs(limit=9)), Asked(9, 27 + 42)),
        (m.QueryRequest(query_params=pairs(limit=5, offset=2)), Asked(7, 7)),
        (m.QueryRequest(query_params=pairs(limit=5, offset="+4")), Asked(9, 9)),
        (m.QueryRequest(), Asked(None, 0)),
        (m.QueryRequest(query_params=pairs(limit=-1)), Asked(None, 0)),
        (m.QueryRequest(query_params=[*pairs(limit=1), *pairs(limit=90)]), Asked(90, 90)),
        (m.InsertRequest(num_rows=7), Asked(0, 0, 7)),
        (m.UpsertRequest(num_rows=7), Asked(0, 0, 7)),
        (m.DeleteRequest(), Asked(0, 0)),
    ],
)
def test_asked(ask: Message, expected: Asked) -> None:
    assert asked(ask) == expected
