"""A Milvus server behind two proxies that remember together what is newest: collections, reads of every kind, and
writes behind the proxies' back."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from vecguard.errors import Unreadable
from vecguard.fresh.guard import MARGIN_MS
from vecguard.keys.file import FileKeyProvider

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "drop_*"
    integrity: {damaged: drop, rollback: detect}
    payload: &modes {default: sealed, fields: {open: plain, tag: searchable, shape: plain, color: searchable}}
  - match: "kept_*"
    integrity: {rollback: detect}
    retention: 90d
    payload: *modes
  - match: "hidden_*"
    integrity: {rollback: detect}
    ids: encrypted
    payload:
      default: sealed
      fields: {open: plain, tag: searchable, shape: plain, color: searchable}
      hash_names: true
  - match: "keyed_*"
    integrity: {rollback: detect}
    tenant_keys: {field: open}
    payload: *modes
  - match: "trap_*"
    integrity: {rollback: detect}
    ids: encrypted
    detection: {canaries: 4}
  - match: "exact_*"
    integrity: {rollback: detect}
    vectors: [{transforms: [{kind: rotation}]}]
    payload: *modes
  - match: "late_*"
    payload: *modes
  - match: "box_*"
    integrity: {rollback: detect}
    payload: *modes
"""
DIMS = 8
EVERY = frozenset(range(1, 7))
PAST_S = MARGIN_MS / 1e3 + 0.3
"""What was superseded so long ago is told from what is read now."""
TOLD = Unreadable.TEXT[:30]
NAMES = itertools.count()
Row = dict[str, Any]


@dataclass
class Guarded:
    """A database behind two proxies that remember together, with a client each; `raw` is the database's own."""

    server: MilvusServer
    proxies: list[MilvusProxy]
    clients: list[MilvusClient]
    raw: MilvusClient
    settings: Path
    is_real: bool

    @property
    def client(self) -> MilvusClient:
        return self.clients[0]

    def arguments(self, *more: str) -> list[str]:
        """Of a command of the operator's."""
        upstream = ["--upstream", f"milvus://{self.server.target}", "--key", f"file:{self.proxies[0].key_file}"]
        return [*upstream, "--config", str(self.settings), *more]


@contextmanager
def guarded(server: MilvusServer, folder: Path, *, is_real: bool) -> Iterator[Guarded]:
    settings, key = folder / "settings.yaml", folder / "shared.key"
    settings.write_text(f"workers: 1\nrollback_memory: {folder / 'newest.db'}\n")
    FileKeyProvider.create(str(key), {})
    with ExitStack() as stack:
        proxies = [
            stack.enter_context(
                serving_milvus(folder / name, server, POLICY, key_file=key, arguments=("--config", str(settings)))
            )
            for name in ("one", "two")
        ]
        clients = [stack.enter_context(proxy.client()) for proxy in proxies]
        yield Guarded(server, proxies, clients, stack.enter_context(server.client()), settings, is_real)


@contextmanager
def made(place: Guarded, kind: str, *, auto: bool = False) -> Iterator[str]:
    """A collection with rows 1 to 6."""
    name, client = f"{kind}_rollback_{next(NAMES)}", place.client
    schema = client.create_schema(auto_id=auto, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("shut", DataType.VARCHAR, max_length=64)
    schema.add_field("open", DataType.VARCHAR, max_length=64)
    schema.add_field("tag", DataType.VARCHAR, max_length=64)
    schema.add_field("price", DataType.DOUBLE)
    schema.add_field("list", DataType.ARRAY, element_type=DataType.VARCHAR, max_length=32, max_capacity=4)
    schema.add_field("doc", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Bounded")
    client.insert(name, [row(i, auto=auto) for i in sorted(EVERY)])
    client.load_collection(name)
    yield name
    client.drop_collection(name)


def row(i: int, seed: int = 0, *, auto: bool = False) -> Row:
    k = i + seed
    made = {
        "v": [float((7 * k + j * j) % 11) - 2.0 for j in range(DIMS)],
        "shut": f"shut {k}",
        "open": f"open {k}",
        "tag": f"tag {k}",
        "price": k / 3,
        "list": [f"a{k}", f"b{k}"],
        "doc": {"deep": {"text": f"text {k}", "number": k / 7}, "open": k},
        "color": f"color {k}",
        "shape": k / 9,
        "more": {"held": [k, None, "x"]},
        "number": i,
    }
    return made if auto else {"pk": i, **made}


def query(client: MilvusClient, name: str, outputs: list[str]) -> list[Row]:
    found = client.query(name, filter="", limit=50, output_fields=outputs)
    return [dict(one) for one in found]


def reads(client: MilvusClient, name: str) -> dict[str, Callable[[], set[int]]]:
    """Reads of every kind that show of each row what changes with it; the keys that they answer."""

    def searched(outputs: list[str], **more: Any) -> set[int]:
        data = [row(3)["v"]]
        return {
            int(hit.id) for hit in client.search(name, data, anns_field="v", limit=20, output_fields=outputs, **more)[0]
        }

    def queried(outputs: list[str]) -> set[int]:
        return {int(one["pk"]) for one in query(client, name, outputs)}

    def iterated() -> set[int]:
        iterator, found = client.query_iterator(name, batch_size=2, output_fields=["shut"]), set[int]()
        while page := iterator.next():
            found |= {int(one["pk"]) for one in page}
        iterator.close()
        return found

    kinds: dict[str, Callable[[], set[int]]] = {
        f"query {'-'.join(outputs)}": lambda outputs=outputs: queried(outputs)  # type: ignore[misc]
        for outputs in (["*"], ["shut"], ["open", "price"], ["color"], ["list", "doc"], ["v"], ["$meta"])
    }
    kinds["search"] = lambda: searched([])
    kinds["search all"] = lambda: searched(["*"])
    kinds["search some"] = lambda: searched(["shape"])
    kinds["get"] = lambda: {int(one["pk"]) for one in client.get(name, sorted(EVERY), output_fields=["tag"])}
    kinds["iterator"] = iterated
    return kinds


SOME = ("query *", "query color", "search", "get")
TELLING = ("query $meta", "search")


def sound(client: MilvusClient, name: str, keys: frozenset[int] = EVERY, kinds: Collection[str] = SOME) -> None:
    """Reads answer these rows, and none is taken for older."""
    for kind, read in reads(client, name).items():
        if kind in kinds:
            assert read() == keys, kind


def told(client: MilvusClient, name: str, *kinds: str) -> None:
    """Reads that meet the row fail; each takes most of a second, as it is made again before that is believed."""
    for kind, read in reads(client, name).items():
        if kind in (kinds or TELLING):
            with pytest.raises(MilvusException, match=TOLD):
                raise AssertionError(f"{kind}: {read()}")


def at_rest(place: Guarded, name: str) -> dict[Any, Row]:
    """All rows as they lie in the database, by the keys there."""
    place.raw.load_collection(name)
    found = place.raw.query(name, filter="", limit=100, output_fields=["*"], consistency_level="Strong")
    return {one["pk"]: dict(one) for one in found}


def put(place: Guarded, name: str, rows: list[Row]) -> None:
    """Write rows behind the proxies' back."""
    for one in rows:
        place.raw.upsert(name, [one])


def put_back(place: Guarded, name: str, before: dict[Any, Row]) -> None:
    """Bring the rows that changed since, or went, to what they were."""
    time.sleep(PAST_S)
    now = at_rest(place, name)
    changed = [
        one for key, one in before.items() if json.dumps(now.get(key), default=str) != json.dumps(one, default=str)
    ]
    assert changed
    put(place, name, changed)


def upsert(place: Guarded, name: str, *numbers: int, seed: int = 0, by: int = 0) -> None:
    place.clients[by].upsert(name, [row(i, seed) for i in numbers])
