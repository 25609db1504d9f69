"""A whole row as the specification has it at rest: rows of this version stay readable."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known import alike
from shields import manifest_of

from front.milvus.schemas import arrays_of, data_of, field_of, schema_of, sparse_of, vectors_of
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus.layout import Layout, layout_of
from vecguard.front.milvus.proto import DATA_TYPES, s
from vecguard.front.milvus.reveal import client_columns, found_rows
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.schema import declare
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.policy.model import CollectionPolicy, PayloadRule, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec
from vecguard.seal.record import decode
from vecguard.shield import Shield

KNOWN = json.loads((Path(__file__).parents[2] / "vectors" / "row.json").read_text())
SCHEMA = schema_of(
    field_of("open", "Int64"),
    field_of("note", "VarChar", {"max_length": 50}),
    field_of("word", "VarChar", {"max_length": 50}),
    field_of("num", "Int32"),
    field_of("real", "Float"),
    field_of("flag", "Bool"),
    field_of("price", "Double"),
    field_of("tags", "Array", {"max_capacity": 4, "max_length": 20}, element="VarChar"),
    field_of("doc", "JSON"),
    field_of("v", "FloatVector", {"dim": 6}),
    field_of("s", "SparseFloatVector"),
)
KINDS = {
    **{"id": "Int64", "open": "Int64", "note": "VarChar", "word": "VarChar", "num": "Int32"},
    **{"real": "Float", "flag": "Bool", "price": "Double"},
}


@pytest.fixture(scope="module")
def shield() -> Shield:
    rule = VectorRule(transforms=(RotationSpec(), GaussianSpec(ratio=KNOWN["ratio"])))
    policy = CollectionPolicy(match="*", payload=PayloadRule(fields=KNOWN["modes"]), vectors=(rule,)).placed(0)
    declaration = declare(SCHEMA, policy)
    assert declaration.stored is not None
    ring = KeyRing({KNOWN["epoch"]: Key(bytes.fromhex(KNOWN["data_key"]))}, KNOWN["epoch"])
    manifest = manifest_of(policy.payload).model_copy(update={"current": KNOWN["epoch"]})
    assert manifest.uuid.hex == KNOWN["collection"]
    vectors = {record.name: record for record in declaration.vectors}
    return Shield(manifest, ring, vectors, policy, SCHEMA.SerializeToString())


def client_row(row: dict[str, Any]) -> list[s.FieldData]:
    scalars = [data_of(name, kind, [row[name]]) for name, kind in KINDS.items()]
    others = [arrays_of("tags", "VarChar", [row["tags"]]), data_of("doc", "JSON", [json.dumps(row["doc"]).encode()])]
    return [*scalars, *others, *vectors_in(row)]


def vectors_in(row: dict[str, Any]) -> list[s.FieldData]:
    return [vectors_of("v", np.array([row["v"]], np.float32)), sparse_of("s", [dict(map(tuple, row["s"]))])]


def stored_row(row: dict[str, Any]) -> list[s.FieldData]:
    """Columns as the database answers them."""
    plain = [data_of(name, "Int64", [row[name]]) for name in ("id", "open")]
    names = ("note", "word", "num", "real", "flag", "price", "_vg_v", "_vg_s")
    texts = [data_of(name, "VarChar", [row[name]]) for name in names]
    arrays = [arrays_of(name, "VarChar", [row[name]]) for name in ("tags", "_vgl_price")]
    doc = data_of("doc", "JSON", [json.dumps(row["doc"]).encode()])
    return [*plain, *texts, *arrays, doc, *vectors_in(row)]


def values(columns: list[s.FieldData]) -> dict[str, Any]:
    """What one row holds, by column."""
    found: dict[str, Any] = {}
    for data in columns:
        if data.HasField("scalars"):
            slot = getattr(data.scalars, str(data.scalars.WhichOneof("data"))).data
            found[data.field_name] = slot[0]
        elif data.vectors.HasField("float_vector"):
            found[data.field_name] = list(data.vectors.float_vector.data)
        else:
            table = np.frombuffer(data.vectors.sparse_float_vector.contents[0], [("i", "<u4"), ("v", "<f4")])
            found[data.field_name] = [[int(i), float(v)] for i, v in table]
    for name in {"tags", "_vgl_price"} & found.keys():
        found[name] = list(found[name].string_data.data)
    if "doc" in found:
        found["doc"] = json.loads(found["doc"])
    return found


def test_the_known_row_opens(shield: Shield) -> None:
    stored = stored_row(KNOWN["stored"])
    found = values(client_columns(found_rows(shield, layout_of(shield), stored, 1), stored))
    known = dict(KNOWN["client"])
    assert np.allclose(found.pop("v"), known.pop("v"), atol=1e-5)
    assert {name: found[name] for name in known} == known


def test_what_is_written_is_the_known_row_but_for_nonces(shield: Shield) -> None:
    layout = layout_of(shield)
    made = values(protect_rows(shield, layout, client_row(KNOWN["client"]), 1, whole=True))
    known = dict(KNOWN["stored"])
    assert made.keys() == known.keys()
    assert np.allclose(made.pop("v"), known.pop("v"), atol=1e-5)
    entries = [decode(row.pop("_vg_v")).entries["v"] for row in (made, known)]
    assert entries[0][:19] == entries[1][:19]  # head and nonce; in the box, the sketch's last bits are the machine's
    assert len(entries[0]) == len(entries[1])
    assert alike(made, known)


def other(text: str, at: int) -> str:
    """The text with one bit of one character changed."""
    return text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


SEALED = ("note", "word", "num", "real", "flag", "price", "_vg_v", "_vg_s")


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("what", ["version", "kind", "epoch", "body", "tag", "cut"])
def test_a_row_of_which_a_text_was_changed_does_not_open(shield: Shield, name: str, what: str) -> None:
    """Another version (older and newer ones), kind or epoch; the nonce or box; the end; and less than was written."""
    row = dict(KNOWN["stored"])
    start = len("vg:") if not name.startswith("_vg") else row[name].rindex(".") + 1
    places = {"version": 1, "kind": 2, "epoch": 8, "body": 14, "tag": len(row[name]) - 4 - start}
    text = row[name][:-4] if what == "cut" else other(row[name], start + places[what])
    refused(shield, row | {name: text})


@pytest.mark.parametrize("version", [0, 2, 255])
@pytest.mark.parametrize("name", SEALED)
def test_texts_of_other_format_versions_do_not_open(shield: Shield, name: str, version: int) -> None:
    row = dict(KNOWN["stored"])
    start = len("vg:") if not name.startswith("_vg") else row[name].rindex(".") + 1
    data = base64.urlsafe_b64decode(row[name][start:] + "=" * (-len(row[name][start:]) % 4))
    again = base64.urlsafe_b64encode(bytes([version]) + data[1:]).decode().rstrip("=")
    refused(shield, row | {name: row[name][:start] + again})


@pytest.mark.parametrize("changes", [{"id": 8}, {"num": KNOWN["stored"]["note"]}, {"note": KNOWN["stored"]["word"]}])
def test_what_is_of_another_row_column_or_mode_does_not_open(shield: Shield, changes: dict[str, Any]) -> None:
    refused(shield, KNOWN["stored"] | changes)


@pytest.mark.parametrize("name", ["_vg_v", "_vg_s"])
@pytest.mark.parametrize("head", ["vgr0.", "vgr2.", "vgr1x."])
def test_records_of_other_versions_do_not_open(shield: Shield, name: str, head: str) -> None:
    refused(shield, KNOWN["stored"] | {name: head + KNOWN["stored"][name].removeprefix("vgr1.")})


def refused(shield: Shield, row: dict[str, Any]) -> None:
    layout: Layout = layout_of(shield)
    columns = stored_row(row)
    with pytest.raises((Unreadable, InvalidArgument)):
        client_columns(found_rows(shield, layout, columns, 1), columns)


def test_the_columns_are_of_the_types_that_the_database_has(shield: Shield) -> None:
    made = protect_rows(shield, layout_of(shield), client_row(KNOWN["client"]), 1, whole=True)
    kinds = {data.field_name: data.type for data in made}
    assert {kinds[name] for name in SEALED} == {DATA_TYPES["VarChar"]}
    assert (kinds["id"], kinds["open"], kinds["doc"]) == (DATA_TYPES["Int64"], DATA_TYPES["Int64"], DATA_TYPES["JSON"])
    assert {kinds[name] for name in ("tags", "_vgl_price")} == {DATA_TYPES["Array"]}
