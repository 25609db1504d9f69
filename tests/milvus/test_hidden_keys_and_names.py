"""`ids: encrypted` and `hash_names` in Milvus: the client sees its own, both ways, and the database never does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymilvus import DataType
from pymilvus.exceptions import MilvusException

from milvus.pairs import Pair, Side, paired
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from milvus.test_rotation import epochs_at_rest, rotate_command, run
from milvus.test_verify import looked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "*"
    vectors: [{transforms: [{kind: rotation}]}]
    payload:
      default: sealed
      fields: {plain: plain, color: searchable, price: range, meta.kind: searchable, meta.size: range, shape: plain}
      hash_names: true
    ids: encrypted
"""
DIMS = 8
COUNT = 60


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[MilvusServer], MilvusProxy]]:
    """The proxy before a server, under `POLICY`; made once."""
    running: dict[str, Any] = {}

    def before(server: MilvusServer) -> MilvusProxy:
        if server.target not in running:
            made = serving_milvus(tmp_path_factory.mktemp("hidden"), server, POLICY)
            running[server.target] = (made, made.__enter__())
        proxy: MilvusProxy = running[server.target][1]
        return proxy

    yield before
    for made, _ in running.values():
        made.__exit__(None, None, None)


@pytest.fixture(params=["lite", "real"])
def hidden(request: pytest.FixtureRequest, proxies: Callable[[MilvusServer], MilvusProxy]) -> Iterator[Pair]:
    server = request.getfixturevalue(request.param)
    with paired(server, proxies(server), is_real=request.param == "real") as both:
        yield both


def key_of(number: int, *, text: bool) -> Any:
    """Numbers from below zero on, and very large ones (2.3.5 itself finds no key 2^63-1 by `in`); or texts."""
    if text:
        return "" if number == 0 else f"größe {number}"
    return {0: 2**63 - 2, 1: -(2**63) + 1}.get(number, number - 20)


def row(number: int, *, text: bool) -> dict[str, Any]:
    return {
        "pk": key_of(number, text=text),
        "v": [float((number * 7 + k * k) % 11) + number / 100 for k in range(DIMS)],
        "plain": number,
        "meta": {"kind": "ab"[number % 2], "size": number / 2, "deep": [{"kind": number}]},
        "color": ("red", "green", "blue")[number % 3],
        "price": number * 2,
        "shape": f"shape {number % 4}",
    }


def make(pair: Pair, *, text: bool) -> list[dict[str, Any]]:
    rows = [row(number, text=text) for number in range(COUNT)]
    for on in (pair.straight, pair.guarded):
        schema = on.client.create_schema(auto_id=False, enable_dynamic_field=True)
        if text:
            schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=40)
        else:
            schema.add_field("pk", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
        schema.add_field("plain", DataType.INT64)
        schema.add_field("meta", DataType.JSON)
        index = on.client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="L2")
        on.client.create_collection(on.name, schema=schema, index_params=index, consistency_level="Strong")
        on.client.insert(on.name, rows)
        on.client.load_collection(on.name)
    return rows


def query(expression: str, *outputs: str) -> Callable[[Side], Any]:
    return lambda on: list(
        on.client.query(on.name, filter=expression, output_fields=list(outputs) or ["*"], limit=COUNT)
    )


def iterated(expression: str) -> Callable[[Side], Any]:
    def run_through(on: Side) -> Any:
        iterator = on.client.query_iterator(on.name, batch_size=7, filter=expression, output_fields=["plain", "color"])
        found: list[Any] = []
        while page := iterator.next():
            found += page
        iterator.close()
        assert len({one["pk"] for one in found}) == len(found)
        return found

    return run_through


def written(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def at_rest(pair: Pair) -> list[dict[str, Any]]:
    """The guarded collection's rows as the database has them."""
    return list(pair.straight.client.query(pair.guarded.name, filter="plain >= 0", output_fields=["*"], limit=COUNT))


@pytest.mark.parametrize("text", [False, True], ids=["int64", "varchar"])
def test_keys_and_names(hidden: Pair, text: bool) -> None:
    rows = make(hidden, text=text)
    some = ", ".join(written(rows[i]["pk"]) for i in (0, 1, 5, 30))
    for expression in (
        f"pk in [{some}]",
        f"pk not in [{some}] and plain < 40",
        f"pk == {written(rows[7]['pk'])}",
        f"pk != {written(rows[7]['pk'])} and color == 'red'",
        "price > 10 and price <= 33",
        "meta['kind'] == 'a' and meta['size'] < 9",
        "shape like '%2' and color in ['red', 'blue']",
        "exists meta['kind']",
        "not (color == 'green')",
    ):
        hidden.same(query(expression), rows=True)
        hidden.same(query(expression, "pk", "color", "meta"), rows=True)
    hidden.same(lambda on: on.client.get(on.name, [rows[2]["pk"], rows[9]["pk"]]), rows=True)
    for expression in ("", "color == 'red'"):
        hidden.same(iterated(expression), rows=True)
    hidden.same(
        lambda on: [
            (hit["pk"], hit["distance"], hit["entity"])
            for hit in on.client.search(
                on.name, [rows[3]["v"]], limit=9, filter=f"pk not in [{some}]", output_fields=["color", "meta", "pk"]
            )[0]
        ]
    )
    hidden.same(lambda on: on.client.delete(on.name, ids=[rows[4]["pk"], rows[6]["pk"]]))
    hidden.same(lambda on: on.client.delete(on.name, filter=f"pk in [{written(rows[8]['pk'])}]"))
    if not hidden.is_real:
        hidden.same(lambda on: on.client.upsert(on.name, [rows[10] | {"plain": 1000}]))
    hidden.same(query("plain >= 0"), rows=True)
    declared = hidden.guarded.client.describe_collection(hidden.guarded.name)["fields"][0]
    assert declared["params"].get("max_length") == (40 if text else None)
    stored = at_rest(hidden)
    assert not {one["pk"] for one in stored} & {one["pk"] for one in rows}
    seen = str(stored)
    assert not [name for name in ("color", "price", "shape", "kind", "size", "deep") if f"'{name}'" in seen]


@pytest.mark.parametrize("text", [False, True], ids=["int64", "varchar"])
def test_what_encrypted_keys_cannot_answer_is_refused(hidden: Pair, text: bool) -> None:
    make(hidden, text=text)
    client, name, low = hidden.guarded.client, hidden.guarded.name, '"a"' if text else "5"
    for expression in (f"pk > {low}", f"pk <= {low} and plain > 3", f"not (pk >= {low})"):
        with pytest.raises(MilvusException, match="only be asked for equality"):
            client.query(name, filter=expression, output_fields=["plain"], limit=3)
    with pytest.raises(MilvusException, match="only be asked for equality"):
        client.query_iterator(name, batch_size=7, filter=f"pk > {low}", output_fields=["plain"])
    with pytest.raises(MilvusException, match="no primary key"):
        client.query(name, filter="pk == 1.5", output_fields=["plain"], limit=3)


def test_keys_that_the_database_makes_are_refused(hidden: Pair) -> None:
    client, name = hidden.guarded.client, hidden.guarded.name
    schema = client.create_schema(auto_id=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    with pytest.raises(MilvusException, match="ids: plain"):
        client.create_collection(name, schema=schema)
    assert not client.has_collection(name)


def test_a_rotation_and_a_look_at_every_row(hidden: Pair) -> None:
    pair, rows = hidden, make(hidden, text=False)
    keys = {one["pk"] for one in at_rest(pair)}
    proxy = pair.guarded.server
    assert isinstance(proxy, MilvusProxy)
    done = run(rotate_command(pair.straight.server, proxy, pair.guarded.name))
    assert done.returncode == 0, done.stderr
    assert epochs_at_rest(pair.straight.server, pair.guarded.name, "_vg_v") == {2}
    assert {one["pk"] for one in at_rest(pair)} == keys
    pair.same(query("plain >= 0"), rows=True)
    found = looked(pair, pair.guarded.name)
    assert (found.records, found.bad) == (len(rows), {})
