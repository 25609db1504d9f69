"""Milvus as a database under measure: the real server where its PyPI package is installed, Milvus Lite otherwise.

Searches are sent with the weakest consistency, so that none waits for the server's clock ticks.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from benchmarks import requests
from benchmarks.backend import TEXT_FIELDS, Call, Progress

SERVICE = "/milvus.proto.milvus.MilvusService"
VECTOR = "vector"
# Methods that answer with a bare status.
STATUSES = ("CreateCollection", "CreateIndex", "LoadCollection")
TEXT_BYTES, SOURCE_BYTES = 1_000, 32
M, EF_CONSTRUCTION, EF = 16, 100, 64
# "Eventually": whatever is there. A guarantee of timestamp 1 asks for nothing (Milvus: "Consistency level").
EVENTUALLY = {"consistency_level": common_pb2.Eventually, "guarantee_timestamp": 1}


class MilvusBackend:
    """Milvus' gRPC API, by the real server or by Milvus Lite."""

    key = "milvus"
    write = f"{SERVICE}/Insert"
    search = f"{SERVICE}/Search"
    health = f"{SERVICE}/CheckHealth"
    # Answers begin with their status (field 1), which is empty where all went well.
    success = b"\x0a\x00"

    def __init__(self, real: bool | None = None) -> None:
        """`real` None: the real server if it is to be had."""
        self._real = find_spec("milvus") is not None if real is None else real
        self.engine = (
            f"Milvus {version('milvus')}, standalone" if self._real else f"Milvus Lite {version('milvus-lite')}"
        )

    def healthy(self, answer: bytes) -> bool:
        """The server says so itself, some time after it began to answer."""
        return bool(milvus_pb2.CheckHealthResponse.FromString(answer).isHealthy)

    def error(self, call: Call, answer: bytes) -> str:
        """By the status that the answer is, or holds as its first field."""
        if call.method.rpartition("/")[2] in STATUSES:
            status = common_pb2.Status.FromString(answer)
        else:
            status = milvus_pb2.BoolResponse.FromString(answer).status
        return f"{status.code}: {status.reason}" if status.code or status.error_code else ""

    def engine_command(self, data: Path, listen: str) -> tuple[str, ...]:
        """The server on its own."""
        if not self._real:
            return ("vecguard.engine.lite_server", "--data", str(data), "--listen", listen)
        programs = Path(tempfile.gettempdir()) / f"vecguard-milvus-{version('milvus')}-{os.getuid()}"
        port = listen.rpartition(":")[2]
        return ("benchmarks.milvus_standalone", str(data), str(programs), port, str(os.getpid()))

    def proxy_command(self, listen: str, upstream: str, policy: Path, key: Path) -> tuple[str, ...]:
        """VecGuard before it."""
        protection = ("--policy", str(policy), "--key-file", str(key))
        return ("vecguard", "serve", "--milvus-listen", listen, "--upstream", f"milvus://{upstream}", *protection)

    def creation(self, collection: str, dims: int, index: bool) -> Sequence[Call]:
        """Key, cosine vector, text, word and number; HNSW, or the flat index without which nothing can be loaded."""
        create = milvus_pb2.CreateCollectionRequest(
            collection_name=collection, schema=_schema(collection, dims).SerializeToString(), shards_num=1
        )
        chosen = ("HNSW", {"M": M, "efConstruction": EF_CONSTRUCTION}) if index else ("FLAT", {})
        settings = {"index_type": chosen[0], "metric_type": "COSINE", "params": json.dumps(chosen[1])}
        make_index = milvus_pb2.CreateIndexRequest(
            collection_name=collection, field_name=VECTOR, extra_params=_pairs(settings)
        )
        load = milvus_pb2.LoadCollectionRequest(collection_name=collection)
        return (
            Call(f"{SERVICE}/CreateCollection", create.SerializeToString()),
            Call(f"{SERVICE}/CreateIndex", make_index.SerializeToString()),
            Call(f"{SERVICE}/LoadCollection", load.SerializeToString()),
        )

    def created(self, collection: str) -> Progress | None:
        """Once it is loaded."""
        request = milvus_pb2.GetLoadStateRequest(collection_name=collection).SerializeToString()

        def done(answer: bytes) -> tuple[bool, str]:
            state = milvus_pb2.GetLoadStateResponse.FromString(answer).state
            return state == common_pb2.LoadStateLoaded, common_pb2.LoadState.Name(state)

        return Progress(Call(f"{SERVICE}/GetLoadState", request), done)

    def writes(self, collection: str, rows: NDArray[np.float32], batch: int) -> Iterator[bytes]:
        """Inserts."""
        for start in range(0, len(rows), batch):
            taken = rows[start : start + batch]
            yield milvus_pb2.InsertRequest(
                collection_name=collection,
                fields_data=_columns(range(start, start + len(taken)), taken),
                num_rows=len(taken),
            ).SerializeToString()

    def searches(
        self, collection: str, queries: NDArray[np.float32], limit: int, with_payload: bool
    ) -> Iterator[bytes]:
        """One query vector each."""
        settings = {"anns_field": VECTOR, "topk": str(limit), "metric_type": "COSINE", "params": json.dumps({"ef": EF})}
        for row in queries:
            yield milvus_pb2.SearchRequest(
                collection_name=collection,
                dsl_type=common_pb2.BoolExprV1,
                placeholder_group=_placeholders(row),
                nq=1,
                search_params=_pairs(settings),
                output_fields=TEXT_FIELDS if with_payload else ("id",),
                **EVENTUALLY,
            ).SerializeToString()

    def visible(self, collection: str) -> Sequence[Call]:
        """A strongly consistent count."""
        count = milvus_pb2.QueryRequest(
            collection_name=collection, output_fields=["count(*)"], consistency_level=common_pb2.Strong
        )
        return (Call(f"{SERVICE}/Query", count.SerializeToString()),)

    def indexing(self, collection: str) -> Sequence[Call]:
        """What is flushed is indexed."""
        flush = milvus_pb2.FlushRequest(collection_names=[collection]).SerializeToString()
        return (Call(f"{SERVICE}/Flush", flush),)

    def indexed(self, collection: str) -> Progress:
        """No row waits for the index."""
        request = milvus_pb2.DescribeIndexRequest(collection_name=collection).SerializeToString()

        def done(answer: bytes) -> tuple[bool, str]:
            (index,) = milvus_pb2.DescribeIndexResponse.FromString(answer).index_descriptions
            counted = index.total_rows > 0 or not self._real  # Milvus Lite does not count
            finished = index.state == common_pb2.Finished and counted and index.indexed_rows >= index.total_rows
            return finished, f"{index.indexed_rows} of {index.total_rows}"

        return Progress(Call(f"{SERVICE}/DescribeIndex", request), done)

    def found(self, answer: bytes) -> set[int]:
        """Integer primary keys."""
        return set(milvus_pb2.SearchResults.FromString(answer).results.ids.int_id.data)


def _schema(collection: str, dims: int) -> schema_pb2.CollectionSchema:
    field, kind = schema_pb2.FieldSchema, schema_pb2.DataType
    return schema_pb2.CollectionSchema(
        name=collection,
        fields=[
            field(name="id", data_type=kind.Int64, is_primary_key=True),
            field(name=VECTOR, data_type=kind.FloatVector, type_params=_pairs({"dim": str(dims)})),
            field(name="text", data_type=kind.VarChar, type_params=_pairs({"max_length": str(TEXT_BYTES)})),
            field(name="source", data_type=kind.VarChar, type_params=_pairs({"max_length": str(SOURCE_BYTES)})),
            field(name="page", data_type=kind.Int64),
        ],
    )


def _columns(ids: range, rows: NDArray[np.float32]) -> list[schema_pb2.FieldData]:
    kind = schema_pb2.DataType
    vectors = schema_pb2.VectorField(dim=rows.shape[1])
    vectors.float_vector.data.extend(rows.ravel().tolist())
    return [
        schema_pb2.FieldData(field_name="id", type=kind.Int64, scalars=_integers(list(ids))),
        schema_pb2.FieldData(field_name=VECTOR, type=kind.FloatVector, vectors=vectors),
        schema_pb2.FieldData(field_name="text", type=kind.VarChar, scalars=_strings([requests.text(i) for i in ids])),
        schema_pb2.FieldData(
            field_name="source", type=kind.VarChar, scalars=_strings([requests.source(i) for i in ids])
        ),
        schema_pb2.FieldData(field_name="page", type=kind.Int64, scalars=_integers([requests.page(i) for i in ids])),
    ]


def _integers(values: list[int]) -> schema_pb2.ScalarField:
    return schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values))


def _strings(values: list[str]) -> schema_pb2.ScalarField:
    return schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values))


def _placeholders(row: NDArray[np.float32]) -> bytes:
    value = common_pb2.PlaceholderValue(tag="$0", type=common_pb2.PlaceholderType.FloatVector, values=[row.tobytes()])
    return bytes(common_pb2.PlaceholderGroup(placeholders=[value]).SerializeToString())


def _pairs(values: dict[str, str]) -> list[common_pb2.KeyValuePair]:
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]
