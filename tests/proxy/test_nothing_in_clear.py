"""After a full run nothing of a client's is found in the database's files, the logs or error messages."""

from __future__ import annotations

import base64
import contextlib
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import grpc as q
from serving import Proxy, Server, bare_engine, free_port, serving_proxy

from proxy.behind import Face, dense
from proxy.byte_search import every_byte, found, found_near, with_cbor_floats
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key
from vecguard.manifest import open_core

pytestmark = pytest.mark.slow

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "noised-*"
    payload:
      default: sealed
      fields: {tag: searchable, meta.tag: searchable, open: plain}
  - match: "turned-*"
    vectors: [{transforms: [{kind: rotation}]}]
    payload: {default: searchable}
  - match: "kept-*"
    vectors: [{recover: sealed}]
  - match: "lost-*"
    vectors: [{recover: none, rerank: "off"}]
"""
DIMS = 48
RUN = 16
"""Consecutive float32 of a vector that must not be found."""
COLLECTIONS = ("noised-one", "turned-one", "kept-one", "lost-one")


@dataclass
class Written:
    """What a client sent, made so that it can be recognised anywhere."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20))
    texts: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)

    def text(self, what: str) -> str:
        """A text like no other, which must not be found."""
        self.texts.append(f"Zq{len(self.texts):04d}{what}{self.rng.integers(1 << 40):x}")
        return self.texts[-1]

    def open(self, what: str) -> str:
        """A text for a plain field, which will be found."""
        self.plain.append(f"Xj{len(self.plain):04d}{what}{self.rng.integers(1 << 40):x}")
        return self.plain[-1]

    def number(self) -> float:
        """A double like no other: its decimal form must not be found either."""
        value = float(self.rng.random() * 1e6)
        self.texts.append(repr(value))
        return value

    def vector(self) -> list[float]:
        """A vector like no other."""
        self.vectors.append(self.rng.standard_normal(DIMS).astype(np.float32) * np.float32(3.7))
        found: list[float] = self.vectors[-1].tolist()
        return found


def text(value: str) -> q.Value:
    return q.Value(string_value=value)


def payload(written: Written, *, clear: bool) -> dict[str, q.Value]:
    """A payload with every type of leaf, at several levels; `open` is the one plain field."""
    inner = {"tag": text(written.text("inner-tag")), "deep": text(written.text("deep"))}
    listed = q.ListValue(values=[text(written.text("listed")), q.Value(struct_value=q.Struct(fields=dict(inner)))])
    fields = {
        "tag": text(written.text("tag")),
        "note": text(written.text("note") + " " + "long text " * 40 + written.text("end")),
        "number": q.Value(double_value=written.number()),
        "meta": q.Value(struct_value=q.Struct(fields=inner)),
        "list": q.Value(list_value=listed),
        "unicode": text("ö" + written.text("unicode") + "語"),
    }
    return {**fields, "open": text(written.open("open"))} if clear else fields


def vectors(written: Written) -> q.Vectors:
    """A vector of each kind; a sparse one keeps its weights by design, so those are not looked for."""
    rows = q.MultiDenseVector(vectors=[q.DenseVector(data=written.vector()) for _ in range(2)])
    named = {
        "d": dense(written.vector()),
        "e": q.Vector(data=written.vector()),  # the deprecated form
        "h": dense(written.vector()),
        "m": q.Vector(multi_dense=rows),
        "s": q.Vector(sparse=q.SparseVector(indices=[5, 70_001], values=[0.25, 4.0])),
    }
    return q.Vectors(vectors=q.NamedVectors(vectors=named))


def create(face: Face, name: str, written: Written) -> None:
    ask = q.CreateCollection(collection_name=name)
    declared = {
        "d": q.VectorParams(size=DIMS, distance=q.Distance.Cosine),
        "e": q.VectorParams(size=DIMS, distance=q.Distance.Euclid),
        "h": q.VectorParams(size=DIMS, distance=q.Distance.Dot, datatype=q.Datatype.Float16),
        "m": q.VectorParams(size=DIMS, distance=q.Distance.Dot),
    }
    declared["m"].multivector_config.comparator = q.MultiVectorComparator.MaxSim
    for key, params in declared.items():
        ask.vectors_config.params_map.map[key].CopyFrom(params)
    ask.sparse_vectors_config.map["s"].SetInParent()
    ask.metadata["owner"].string_value = written.text("owner")
    face.collections.Create(ask)
    ask = q.UpdateCollection(collection_name=name, metadata={"later": text(written.text("later"))})
    face.collections.Update(ask)


def write(face: Face, name: str, written: Written) -> None:
    """Every kind of write, through its own RPC and through a batch."""
    clear = name.startswith("noised")
    some = {"collection_name": name, "wait": True}
    points = [
        q.PointStruct(id=q.PointId(num=i), vectors=vectors(written), payload=payload(written, clear=clear))
        for i in range(1, 21)
    ]
    face.points.Upsert(q.UpsertPoints(**some, points=points))
    one, two, three = (q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=i)])) for i in (1, 2, 3))
    updates = [q.PointVectors(id=q.PointId(num=i), vectors=vectors(written)) for i in (4, 5)]
    face.points.UpdateVectors(q.UpdatePointVectors(**some, points=updates))
    fresh = {"note": text(written.text("set")), "tag": text(written.text("set-tag"))}
    face.points.SetPayload(q.SetPayloadPoints(**some, points_selector=one, payload=fresh))
    keyed = {"deep": text(written.text("keyed"))}
    face.points.SetPayload(q.SetPayloadPoints(**some, points_selector=one, payload=keyed, key="meta"))
    whole = {"note": text(written.text("overwritten"))}
    face.points.OverwritePayload(q.SetPayloadPoints(**some, points_selector=two, payload=whole))
    everything = q.PointsSelector(
        filter=q.Filter(must_not=[q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1)]))])
    )
    face.points.SetPayload(
        q.SetPayloadPoints(**some, points_selector=everything, payload={"all": text(written.text("by-filter"))})
    )
    face.points.DeletePayload(q.DeletePayloadPoints(**some, points_selector=three, keys=["note", "meta.deep"]))
    face.points.ClearPayload(q.ClearPayloadPoints(**some, points=three))
    face.points.DeleteVectors(
        q.DeletePointVectors(**some, points_selector=three, vectors=q.VectorsSelector(names=["e"]))
    )
    ops = q.PointsUpdateOperation
    last = q.PointStruct(id=q.PointId(num=30), vectors=vectors(written), payload=payload(written, clear=clear))
    update = q.PointVectors(id=q.PointId(num=6), vectors=vectors(written))
    batch = [
        ops(upsert=ops.PointStructList(points=[last])),
        ops(update_vectors=ops.UpdateVectors(points=[update])),
        ops(set_payload=ops.SetPayload(points_selector=one, payload={"a": text(written.text("batch-set"))})),
        ops(
            overwrite_payload=ops.OverwritePayload(points_selector=two, payload={"b": text(written.text("batch-over"))})
        ),
        ops(delete_payload=ops.DeletePayload(points_selector=one, keys=["list"])),
        ops(clear_payload=ops.ClearPayload(points=three)),
        ops(delete_points=ops.DeletePoints(points=q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=20)])))),
    ]
    face.points.UpdateBatch(q.UpdateBatchPoints(**some, operations=batch))
    later = q.DenseVectorCreationConfig(size=DIMS, distance=q.Distance.Cosine)
    face.points.CreateVectorName(
        q.CreateVectorNameRequest(collection_name=name, vector_name="later", dense_config=later)
    )
    added = q.Vectors(vectors=q.NamedVectors(vectors={"later": dense(written.vector())}))
    point = q.PointVectors(id=q.PointId(num=7), vectors=added)
    face.points.UpdateVectors(q.UpdatePointVectors(**some, points=[point]))


def ask(face: Face, name: str, written: Written) -> None:
    """Searches and filters: what is asked for is a client's secret as much as what is stored."""
    given = q.VectorInput(dense=q.DenseVector(data=written.vector()))
    nearest = q.Query(nearest=given)
    index = q.CreateFieldIndexCollection(collection_name=name, field_name="tag", wait=True)
    index.field_type = q.FieldType.FieldTypeKeyword
    if name.startswith(("noised", "turned")):
        face.points.CreateFieldIndex(index)
        match = q.FieldCondition(key="tag", match=q.Match(keyword=written.text("asked")))
        only = q.Filter(should=[q.Condition(field=match)])
        face.points.Query(q.QueryPoints(collection_name=name, query=nearest, using="d", filter=only))
        face.points.Count(q.CountPoints(collection_name=name, filter=only))
        face.points.QueryGroups(q.QueryPointGroups(collection_name=name, query=nearest, using="d", group_by="tag"))
        face.points.Facet(q.FacetCounts(collection_name=name, key="tag"))
    prefetch = [q.PrefetchQuery(query=nearest, using=using, limit=5) for using in ("d", "e")]
    face.points.Query(q.QueryPoints(collection_name=name, query=q.Query(fusion=q.Fusion.RRF), prefetch=prefetch))
    face.points.Search(q.SearchPoints(collection_name=name, vector=written.vector(), vector_name="d", limit=5))
    face.points.Query(
        q.QueryPoints(collection_name=name, query=q.Query(nearest=q.VectorInput(id=q.PointId(num=1))), using="d")
    )
    scroll = q.ScrollPoints(collection_name=name, limit=100, with_vectors=q.WithVectorsSelector(enable=True))
    if not name.startswith("lost"):
        assert len(face.points.Scroll(scroll).result) == 20


def refused(face: Face, name: str, written: Written) -> list[str]:
    """Calls that fail with a client's secrets in them; their error texts."""
    secret, vector = written.text("refused"), written.vector()
    point = q.PointStruct(id=q.PointId(uuid="no uuid"), vectors=vectors(written), payload={"x": text(secret)})
    short = q.PointStruct(
        id=q.PointId(num=1), vectors=q.Vectors(vectors=q.NamedVectors(vectors={"d": dense(vector[:9])}))
    )
    nan = q.PointStruct(
        id=q.PointId(num=1), vectors=q.Vectors(vectors=q.NamedVectors(vectors={"d": dense([*vector[1:], np.nan])}))
    )
    unknown = q.PointStruct(
        id=q.PointId(num=1), vectors=q.Vectors(vectors=q.NamedVectors(vectors={"?": dense(vector)}))
    )
    inference = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vector=q.Vector(document=q.Document(text=secret))))
    on_sealed = q.Filter(must=[q.Condition(field=q.FieldCondition(key="note.x", match=q.Match(text=secret)))])
    some = {"collection_name": name}
    calls: list[Callable[[], object]] = [
        *(
            lambda p=p: face.points.Upsert(q.UpsertPoints(**some, points=[p]))
            for p in (point, short, nan, unknown, inference)
        ),
        lambda: face.points.Count(q.CountPoints(**some, filter=on_sealed)),
        lambda: face.points.Search(q.SearchPoints(**some, vector=vector[:7], vector_name="d", limit=5)),
        lambda: face.points.Search(q.SearchPoints(collection_name="absent-" + name, vector=vector, limit=5)),
        lambda: face.raw("/qdrant.Points/Upsert", b"\x0a\x7f" + secret.encode()),
        lambda: face.raw("/qdrant.Points/Nothing", secret.encode()),
    ]
    texts = []
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        texts.append(f"{caught.value.details()} {caught.value.trailing_metadata()}")
    return texts


def found_runs(data: bytes, written: Written) -> int:
    """How many vectors show sixteen consecutive components, as given or normalised, in single or half precision."""
    vectors = np.stack(written.vectors)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = range(DIMS - RUN + 1)
    rows = np.concatenate([form[:, start : start + RUN] for form in (vectors, units) for start in starts])
    everything = with_cbor_floats(data)
    singles, halves = found_near(everything, rows, "<f4", 1e-5), found_near(everything, rows, "<f2", 1e-3)
    return len({row % len(vectors) for row in singles | halves})


def components(written: Written) -> list[tuple[int, bytes]]:
    """The first eight components of each vector in decimal, nine characters of each, with the vector's number."""
    texts = [(number, repr(float(value))[:9]) for number, x in enumerate(written.vectors) for value in x[:8]]
    return [(number, text.encode()) for number, text in texts if len(text) == 9]


def told_numbers(data: bytes, written: Written) -> list[int]:
    """Vectors of which two components or more are found in decimal: one alone is met by chance once in a hundred runs,
    among the many times that are measured and told with as many digits."""
    asked = components(written)
    met = Counter(asked[index][0] for index in found(data, [text for _, text in asked]))
    return [number for number, times in met.items() if times > 1]


def found_texts(data: bytes, texts: list[str]) -> list[str]:
    """Texts that are found, in UTF-8, UTF-16, hexadecimal or base64 at any of its three alignments."""
    owners, needles = [], []
    for one in texts:
        for form in forms(one.encode()) | {one.encode("utf-16-le")}:
            owners.append(one)
            needles.append(form)
    return sorted({owners[index] for index in found(data, needles)})


def found_keys(data: bytes, keys: list[bytes]) -> list[bytes]:
    """Keys that are found, raw, in hexadecimal or in base64."""
    return [key for key in keys if found(data, sorted(forms(key)))]


def forms(secret: bytes) -> set[bytes]:
    """A secret raw, in hexadecimal, and in base64 of both alphabets at any alignment (without the edges)."""
    encoded = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for skip in range(3):
        middle = base64.b64encode(b"\0" * skip + secret)[4:-4]
        encoded |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return encoded


@dataclass
class Loot:
    """All that somebody could get hold of without the key."""

    database: bytes
    logs: bytes
    errors: bytes
    written: Written
    keys: list[bytes]


def run(server: Server, collections: tuple[str, ...]) -> tuple[Written, list[str]]:
    """The whole of a client's work on a server; what was written, and the error texts that came back."""
    written, errors = Written(), []
    face = Face(server.target)
    with face.channel:
        for name in collections:
            create(face, name, written)
            write(face, name, written)
            ask(face, name, written)
            errors += refused(face, name, written)
        snapshot = q.CreateSnapshotRequest(collection_name=collections[0])
        face.snapshots.Create(snapshot)
    return written, errors


def key_material(proxy: Proxy, collections: tuple[str, ...]) -> list[bytes]:
    """The key-encryption key and every data key."""
    assert proxy.key_file is not None
    provider = FileKeyProvider(proxy.key_file)
    keys = [base64.b64decode(proxy.key_file.read_text().partition("key: ")[2])]
    rest = Face(proxy.engine_target)
    with rest.channel:
        for name in collections:
            info = rest.collections.Get(q.GetCollectionInfoRequest(collection_name=name)).result
            _, ring = open_core(info.config.metadata["_vg"].string_value, provider)
            keys += [data_key(ring._keys[epoch]) for epoch in ring.epochs]
    return keys


def data_key(key: Key) -> bytes:
    return key.expose()


@contextlib.contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Where spans go: an OTLP endpoint, and what it was sent."""
    spans: list[bytes] = []

    class Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.unary_unary_rpc_method_handler(lambda body, _: spans.append(body) or b"")

    server = grpc.server(ThreadPoolExecutor(1), handlers=(Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", spans
    server.stop(None)


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Loot:
    """A full run through the proxy, then everything stopped."""
    folder = tmp_path_factory.mktemp("clear")
    metrics, settings = free_port(), folder / "settings.yaml"
    settings.write_text(f"metrics: 127.0.0.1:{metrics}\ntrail_folder: {folder / 'trail'}\ntraces: true\n")
    with collector() as (endpoint, spans), pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with serving_proxy(folder / "proxy", POLICY, arguments=("--config", str(settings))) as proxy:
            written, errors = run(proxy, COLLECTIONS)
            keys = key_material(proxy, COLLECTIONS)
            running = every_byte(proxy.data)  # the write-ahead log before the engine flushes it
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
                counted = answer.read()
    trail = every_byte(folder / "trail")
    assert all(name.encode() in text for name in COLLECTIONS for text in (counted, trail, b"".join(spans)))
    logs = b"\0".join((proxy.log.read_bytes(), counted, trail, *spans))
    return Loot(running + every_byte(proxy.data), logs, "\n".join(errors).encode(), written, keys)


def test_no_payload_text(loot: Loot) -> None:
    assert len(loot.written.texts) > 500
    for data in (loot.database, loot.logs, loot.errors):
        assert found_texts(data, loot.written.texts) == []


def test_no_original_vector(loot: Loot) -> None:
    assert len(loot.written.vectors) > 500
    for data in (loot.database, loot.logs, loot.errors):
        assert found_runs(data, loot.written) == 0


def test_no_key(loot: Loot) -> None:
    assert len(loot.keys) == 1 + len(COLLECTIONS)
    for data in (loot.database, loot.logs, loot.errors):
        assert found_keys(data, loot.keys) == []


def test_plain_fields_are_found_in_the_database_and_nowhere_else(loot: Loot) -> None:
    """So the search looks in the right place; a plain value belongs in no log either."""
    assert set(found_texts(loot.database, loot.written.plain)) == set(loot.written.plain)
    assert found_texts(loot.logs + loot.errors, loot.written.plain) == []


def test_error_texts_quote_no_numbers_of_a_vector(loot: Loot) -> None:
    """Not in decimal either."""
    assert len(components(loot.written)) > 1000
    assert found(loot.errors, [text for _, text in components(loot.written)]) == set()
    assert told_numbers(loot.logs, loot.written) == []


def test_the_search_finds_all_of_it_where_nothing_is_protected(tmp_path: Path) -> None:
    """The positive control: the same run on the bare engine leaves texts and vectors in its files."""
    with bare_engine(tmp_path) as server:
        written, _ = run_unprotected(server)
        running = every_byte(server.data)
    data = running + every_byte(server.data)
    kept = [one for one in written.texts if "asked" not in one and "refused" not in one and not one[0].isdigit()]
    assert len(found_texts(data, kept)) == len(kept)
    assert found_runs(data, written) == len(written.vectors)


def run_unprotected(server: Server) -> tuple[Written, list[str]]:
    written = Written()
    face = Face(server.target)
    with face.channel:
        for name in COLLECTIONS[:2]:
            create(face, name, written)
            write(face, name, written)
    return written, []


@pytest.mark.parametrize("kind", ["texts", "keys", "numbers", "vectors"])
def test_the_search_finds_what_was_planted(loot: Loot, kind: str) -> None:
    if kind == "texts":
        planted = base64.urlsafe_b64encode(b"ab" + loot.written.texts[3].encode())
        assert found_texts(loot.database + planted, loot.written.texts) == [loot.written.texts[3]]
        assert found_texts(loot.written.texts[9].encode().hex().encode(), loot.written.texts) == [loot.written.texts[9]]
    elif kind == "keys":
        planted = base64.b64encode(b"x" + loot.keys[1])
        assert found_keys(loot.database + planted, loot.keys) == [loot.keys[1]]
    elif kind == "numbers":
        shown = str(loot.written.vectors[7].tolist()[:6])
        assert told_numbers(loot.logs + shown.encode(), loot.written) == [7]
    else:
        vector = loot.written.vectors[7]
        unit = (vector / np.linalg.norm(vector)).astype("<f4")
        assert found_runs(loot.database + unit[11:40].tobytes(), loot.written) == 1
        assert found_runs(loot.database + unit[11 : 11 + RUN - 1].tobytes(), loot.written) == 0
