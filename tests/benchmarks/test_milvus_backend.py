"""How a load is spelled for Milvus, and what its answers say."""

from __future__ import annotations

import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from benchmarks.backend import Call
from benchmarks.milvus_backend import SERVICE, MilvusBackend

BACKEND = MilvusBackend(real=False)
FULL = common_pb2.Status(code=1100, error_code=5, reason="no")


@pytest.mark.parametrize(
    ("method", "answer", "text"),
    [
        ("CreateCollection", common_pb2.Status(), ""),
        ("CreateCollection", FULL, "1100: no"),
        ("LoadCollection", common_pb2.Status(error_code=1, reason="old"), "0: old"),
        ("Search", milvus_pb2.SearchResults(status=common_pb2.Status(reason="search result is empty")), ""),
        ("Search", milvus_pb2.SearchResults(status=FULL, collection_name="c"), "1100: no"),
        ("DescribeIndex", milvus_pb2.DescribeIndexResponse(status=FULL), "1100: no"),
    ],
)
def test_errors_stand_in_the_answers(method: str, answer: common_pb2.Status, text: str) -> None:
    assert BACKEND.error(Call(f"{SERVICE}/{method}", b""), answer.SerializeToString()) == text


@pytest.mark.parametrize("failing", [False, True])
def test_a_write_under_load_is_known_by_its_first_bytes(failing: bool) -> None:
    status = FULL if failing else common_pb2.Status()
    answer = milvus_pb2.MutationResult(status=status, insert_cnt=100).SerializeToString()
    assert answer.startswith(BACKEND.success) is not failing


def test_rows_are_those_of_the_other_load() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(3, 8)
    first, second = (milvus_pb2.InsertRequest.FromString(body) for body in BACKEND.writes("c", rows, 2))
    assert (first.num_rows, second.num_rows) == (2, 1)
    columns = {column.field_name: column for column in second.fields_data}
    assert list(columns["id"].scalars.long_data.data) == [2]
    assert list(columns["vector"].vectors.float_vector.data) == rows[2].tolist()
    assert list(columns["source"].scalars.string_data.data) == ["ward-2"]


def test_a_search_asks_for_ids_or_for_the_payload() -> None:
    queries = np.ones((1, 8), dtype=np.float32)
    for with_payload, fields in ((False, ["id"]), (True, ["text", "source", "page"])):
        (body,) = BACKEND.searches("c", queries, 10, with_payload)
        assert list(milvus_pb2.SearchRequest.FromString(body).output_fields) == fields
    answer = milvus_pb2.SearchResults()
    answer.results.ids.CopyFrom(schema_pb2.IDs(int_id=schema_pb2.LongArray(data=[3, 4])))
    assert BACKEND.found(answer.SerializeToString()) == {3, 4}
