"""Writes docs/milvus-api.md from the table, so that it cannot drift: `python -m vecguard.front.milvus.document`."""

# ruff: noqa: E501 - rows of a Markdown table cannot be broken

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from vecguard.front.milvus.table import ROUTES

TARGET: Final = Path("docs/milvus-api.md")

_HEAD: Final = """# Milvus' gRPC API through VecGuard

Made from the table in `vecguard/front/milvus/table.py` by `python -m vecguard.front.milvus.document`, for the API of
pymilvus {version}. An RPC that is not listed is refused (gRPC UNIMPLEMENTED), and so is a request with protobuf fields that
this API does not have (code 1100). Errors are answered as Milvus answers them: as a status inside the reply.

*protected*: rewritten both ways. *passed*: carries no vector, row or expression. *admin*: passed, but only for principals
that may `admin`. *refused*: would move rows or text past the proxy; the reply says why.

Of the client's headers `authorization`, `dbname`, `identifier`, `client-request-unixmsec` and `client-request-id` go on to
the database, which knows the client by them.

"""

_TAIL: Final = """
## How columns are stored

| declared | mode `plain` | mode `searchable` | mode `sealed` |
|---|---|---|---|
| primary key | as it is, whatever the policy says of its name; with `ids: encrypted` another number, or a longer text | | |
| BOOL, INT8..INT64, FLOAT, DOUBLE, VARCHAR | as it is | VARCHAR, one token a value | VARCHAR |
| ARRAY of these | as it is | ARRAY of VARCHAR, element by element | ARRAY of VARCHAR, element by element |
| JSON, and dynamic fields | JSON of the same shape; every leaf has the mode of its path: `meta.kind`, `color` | | |
| mode `range`: INT8..INT64, FLOAT, DOUBLE; JSON and dynamic fields | VARCHAR as if sealed, with its labels in a hidden column `_vgl_<name>`; in JSON beside the leaf. Comparisons, ranges, `in` work | | |
| FLOAT_VECTOR, FLOAT16_VECTOR, BFLOAT16_VECTOR | FLOAT_VECTOR, rotated and noised, with its record in a hidden column `_vg_<name>` | | |
| SPARSE_FLOAT_VECTOR | the same with keyed indices, and its record | | |
| output of a BM25 function over a plain field | as it is | refused | refused |
| other types | as they are | refused | refused |

Clients are shown what they declared. Lengths, ranges and capacities are checked in the proxy, since the database sees only
ciphertext: in bytes, as Milvus counts them. A sealed text has to be shorter than about 47,000 bytes, as its stored form must
fit into 65,535. A protected collection has one field less for each of its vectors and range columns (Milvus allows 64), and one less with
`auto_id`. Ranges in JSON are of numbers, as doubles; `not` of one also selects rows without the key, as Milvus 2.3.5 does.

## What is refused, and why

| request | answer | why |
|---|---|---|
| BINARY_VECTOR, INT8_VECTOR, arrays of vectors, structs | code 1100 at creation | too coarse to hold a noised vector that can be recovered |
| functions but BM25 over a plain field; text queries of other fields | code 1100 | the database would keep, or be sent, their input or output in clear |
| `enable_match`, `enable_analyzer` on a field that is not plain | code 1100 at creation | there is no text to search |
| a sealed partition key; a clustering key that is not plain | code 1100 at creation | the stored form keeps no equality, or no order |
| an expression that a field's mode cannot answer | code 1100 naming field, mode and policy entry | see docs/adr/milvus-expressions.md |
| an index on a sealed field, or a range one; NGRAM on a searchable one | code 1100 | it could answer nothing; labels are scanned |
| mode `range` on texts, booleans, arrays, or a field added to a collection | code 1100 | labels are of single numbers, and written with their row |
| dynamic keys with the name of a field, or beginning with `_vg` | code 1100 | some servers put such a key's value into the field |
| names of fields and properties that begin with `_vg` | code 1100 | ours |
| a new description; dynamic fields for a collection that was made without | code 1100 | they are declared when the collection is made |
| namespaces, external collections | code 1100 | rows would not come through the proxy |
| a default for rows that are there already, where it would have to be encrypted | code 1100 | every row has a ciphertext of its own |
| with `ids: encrypted`: keys that the database makes (code 1100 at creation), ranges, arithmetic, `like`, order by and min/max of primary keys | code 1100 | encrypted keys are in an order of their own |
| with `hash_names`: an index on a path in JSON or a dynamic field, aggregates, group by and order by of dynamic fields | code 1100 | their names or answers would tell of names |
| sum, avg, min, max, order by on a field that is not plain | code 1100 | the database would compute with ciphertext |

## What differs from a server without VecGuard

- Descriptions are shown as they were declared even where the server forgets them (Milvus Lite).
- FLOAT16_VECTOR and BFLOAT16_VECTOR work on servers without them, since they are stored as FLOAT_VECTOR.
- Values that the server would have refused are refused by the proxy, with the words and codes of newer servers (1100),
  also where an older one takes them (infinities; long texts in arrays).
- With `ids: encrypted` rows come in the order of the stored keys. `query_iterator` of pymilvus 2.4 and later pages through all
  of them, but for pages of one row without output fields, and those that skip rows first (`offset`). A number within quotes in
  a JSON path (`meta["0"]`) is a key where names are hidden, one without a place in a list.
- An Upsert into a collection with `auto_id` first reads the rows' tokens, so the collection has to be loaded.
- A collection that is made again with the same schema is no error on a Milvus server, as without VecGuard; Milvus Lite
  calls it one, likewise.

Collection, database, partition, alias, field and index names, keys within JSON (without `hash_names`), properties of collections and databases,
and index settings travel and lie in clear.
"""


def document() -> str:
    """The page's text."""
    rows = [
        f"| `{route.rpc.rpartition('/')[2]}` | {route.handling} | {'' if route.handling == 'refused' else route.action} "
        f"| {route.about} |"
        for route in ROUTES.values()
    ]
    table = "\n".join(
        ["| RPC of MilvusService | handling | action | how, or why not |", "|---|---|---|---|", *rows, ""]
    )
    return _HEAD.format(version=version("pymilvus")) + table + _TAIL


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(document(), encoding="utf-8")
