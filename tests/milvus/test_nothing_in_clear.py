"""After a full run nothing of a client's is found in the files of either server, in the logs or in error messages."""

from __future__ import annotations

import base64
import io
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from proxy.byte_search import every_byte, found
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import lite_server, real_server

pytestmark = pytest.mark.slow

DIMS = 32
RUN = 8
"""Consecutive float32 of a vector that must not be found."""
POLICY = """
version: 1
collections:
  - match: "turned"
    vectors: [{transforms: [{kind: rotation}]}]
    payload: {default: searchable}
  - match: "kept"
    vectors: [{recover: sealed}]
    payload: &modes {default: sealed, fields: {word: searchable, shown: plain, meta.word: searchable, tag: searchable}}
  - match: "*"
    payload: *modes
"""


@dataclass
class Written:
    """What a client sent, made so that it can be recognised anywhere."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20))
    texts: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    numbers: list[bytes] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)

    def text(self, what: str) -> str:
        """A text like no other, which must not be found."""
        self.texts.append(f"Zq{len(self.texts):04d}{what}{self.rng.integers(1 << 40):x}")
        return self.texts[-1]

    def shown(self) -> str:
        """A text for a plain field, which will be found."""
        self.plain.append(f"Pq{len(self.plain):04d}{self.rng.integers(1 << 40):x}")
        return self.plain[-1]

    def vector(self) -> list[float]:
        """A vector, which must not be found."""
        self.vectors.append(self.rng.normal(size=DIMS).astype(np.float32))
        return [float(x) for x in self.vectors[-1]]

    def double(self) -> float:
        """A number, which must not be found, in binary."""
        value = float(self.rng.normal())
        self.numbers.append(np.float64(value).tobytes())
        return value

    def needles(self) -> list[bytes]:
        """All that must not be found: texts and their base64, numbers, and runs of every vector."""
        texts = [text.encode() for text in self.texts]
        coded = [base64.b64encode(text)[:-4] for text in texts]
        runs = [x[at : at + RUN].tobytes() for x in self.vectors for at in range(0, DIMS - RUN, RUN)]
        return [*texts, *coded, *self.numbers, *runs]


def within_parquet(data: bytes) -> bytes:
    """The values of every Parquet file that stands somewhere in `data`, as bytes: both servers compress them."""
    starts = [match.start() for match in re.finditer(b"PAR1", data)]
    parts = []
    for start, end in itertools.pairwise(starts):
        try:
            table = pq.read_table(io.BytesIO(data[start : end + 4]))
        except (pa.ArrowException, OSError):
            continue
        for column in table.columns:
            parts.extend(buffer.to_pybytes() for chunk in column.chunks for buffer in chunk.buffers() if buffer)
    return b"\0".join(parts)


@pytest.fixture(scope="module", params=["lite", "real"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server whose data is as it is after a run through the proxy, and what was written."""
    folder = tmp_path_factory.mktemp(f"clear-{request.param}")
    start = lite_server if request.param == "lite" else real_server
    written = Written()
    with start(folder / "db") as server, serving_milvus(folder / "proxy", server, POLICY) as proxy:
        for name in ("noised", "turned", "kept"):
            use(proxy, name, written, lite=request.param == "lite")
    logs = proxy.logs
    return server, logs, written


def use(proxy: MilvusProxy, name: str, written: Written, *, lite: bool) -> None:
    """Make a collection with every kind of column, write, replace, read, search, fail."""
    with proxy.client() as client:
        schema = MilvusClient.create_schema(
            auto_id=name == "turned", enable_dynamic_field=True, description=written.text("about")
        )
        schema.add_field("id", DataType.INT64, is_primary=True, description=written.text("key"))
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
        schema.add_field("secret", DataType.VARCHAR, max_length=200, description=written.text("field"))
        schema.add_field("word", DataType.VARCHAR, max_length=200)
        schema.add_field("shown", DataType.VARCHAR, max_length=200)
        schema.add_field("real", DataType.DOUBLE)
        schema.add_field("list", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=3, max_length=99)
        schema.add_field("meta", DataType.JSON)
        if lite:
            schema.add_field("filled", DataType.VARCHAR, max_length=99, default_value=written.text("default"))
        params = client.prepare_index_params()
        params.add_index("v", index_type="AUTOINDEX" if lite else "FLAT", metric_type="L2")
        client.create_collection(name, schema=schema, index_params=params)

        def row(i: int) -> dict[str, Any]:
            made = {
                "id": i,
                "v": written.vector(),
                "secret": written.text("sealed"),
                "word": written.text("word"),
                "shown": written.shown() if name != "turned" else written.text("shown"),
                "real": written.double(),
                "list": [written.text("list")],
                "meta": {"word": written.text("json"), "deep": [{"x": written.text("deep"), "n": written.double()}]},
                "tag": written.text("tag"),
                "loose": {"note": written.text("note")},
            }
            if name == "turned":
                del made["id"]
            return made

        rows = [row(i) for i in range(20)]
        client.insert(name, rows)
        client.flush(name)
        client.insert(name, [row(i) for i in range(20, 25)])
        if name != "turned":
            client.upsert(name, [row(3)])
        found_rows = client.query(
            name, filter=f"word == '{rows[5]['word']}'", output_fields=["*"], consistency_level="Strong"
        )
        assert found_rows[0]["secret"] == rows[5]["secret"]
        client.search(name, data=[rows[0]["v"]], limit=3, output_fields=["secret"], consistency_level="Strong")
        client.delete(name, filter=f"tag in ['{rows[7]['tag']}']")
        client.flush(name)
        for wrong in (
            lambda: client.query(name, filter=f"secret > '{written.text('wrong')}'"),
            lambda: client.query(name, filter=f"word like '{written.text('like')}%'"),
            lambda: client.insert(name, [row(9) | {"secret": written.text("long") * 20}]),
            lambda: client.insert(name, [row(9) | {"v": [1.0]}]),
        ):
            with pytest.raises(MilvusException) as caught:
                wrong()
            assert not any(text in str(caught.value) for text in written.texts if "wrong" not in text)


def test_the_files_of_the_server(ran: Any) -> None:
    server, _, written = ran
    data = every_byte(server.data)
    data += b"\0" + within_parquet(data)
    needles = written.needles()
    hits = found(data, needles)
    assert [needles[i] for i in hits] == []
    # The search does see what lies there: plain fields are found.
    open_needles = [text.encode() for text in written.plain]
    assert len(found(data, open_needles)) > len(open_needles) * 0.9


def test_the_logs(ran: Any) -> None:
    server, logs, written = ran
    data = (logs + server.logs).encode()
    assert found(data, written.needles()) == set()
    assert b"/milvus.proto.milvus.MilvusService/Insert" in data
