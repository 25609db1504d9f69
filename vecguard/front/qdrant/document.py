"""Writes docs/qdrant-api.md from the table, so that it cannot drift: `python -m vecguard.front.qdrant.document`."""

# ruff: noqa: E501 - rows of a Markdown table cannot be broken

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from vecguard.front.qdrant.table import ROUTES

TARGET: Final = Path("docs/qdrant-api.md")

_HEAD: Final = """# Qdrant's gRPC API through VecGuard

Made from the table in `vecguard/front/qdrant/table.py` by `python -m vecguard.front.qdrant.document`, for the API of
qdrant-client {version}. An RPC that is not listed is refused (UNIMPLEMENTED), and so is a request with protobuf fields that
this API does not have (INVALID_ARGUMENT).

*protected*: rewritten both ways. *passed*: carries no vector, payload or filter. *admin*: passed, but only for principals
that may `admin`.

"""

_TAIL: Final = """
## Which answers are exact

On vectors without noise every query is as exact as the database's own. On vectors with noise, with re-ranking on (the
default):

| query | scores | completeness |
|---|---|---|
| nearest by vector or id, recommend `average_vector`, old Search | exact | certified: pages are fetched until no unread record can plausibly belong, at `certainty` standard deviations, up to `max_candidates` |
| MMR | exact | its candidates are certified as above |
| recommend `best_score` / `sum_scores`, discover, context, relevance feedback | exact | ten times the points asked for are read (at least `first_page`, at most `max_candidates`); not certified |
| fusion (RRF, DBSF) over prefetches | computed in the proxy on the prefetches' exact scores | that of each prefetch |
| a query over prefetches (re-scoring) | exact | every point that the prefetches found is read |
| formula | computed in the proxy on exact scores and opened payloads | that of each prefetch |
| QueryGroups, SearchGroups, RecommendGroups | exact | groups and their members by the rules of the query inside |
| distance matrix | exact | the sample is the database's |
| sparse vectors | exact (weights keep their values) | the database's own |
| order_by, sample, scroll, count, facet | no vectors involved | the database's own |

With `rerank: off`, or `recover: none`, scores and order are those of the protected vectors: approximate.
For dot and euclid the certificate presumes that no unread record is longer than those read (docs of `vecguard/rerank.py`).
An approximate index (HNSW) adds its own misses, as it does without VecGuard; `params.exact` turns it off.

## What is refused, and why

| request | answer | why |
|---|---|---|
| `Document`, `Image`, `InferenceObject` inputs, anywhere | INVALID_ARGUMENT | server-side inference: their content would reach the database in clear |
| Manhattan distance | INVALID_ARGUMENT at creation | L1 does not survive a rotation |
| datatypes Uint8 and Turbo* | INVALID_ARGUMENT at creation | too coarse to hold a noised vector that can be recovered; quantization_config is free |
| a range on a field that is neither `plain` nor `range` | INVALID_ARGUMENT likewise | the stored form keeps no order |
| match except, facet, group_by or order on a `range` field; setting or deleting a part of one | INVALID_ARGUMENT likewise | its labels tell whether a value is in a range, not which is greater, and belong to the whole value |
| a full-text match on a field that is neither `plain` nor `tokens`; a phrase, or options of its text index that mean other words, on a `tokens` field | INVALID_ARGUMENT likewise | the stored form has no words, or has them without their order |
| geo, prefix or order on a field that is not `plain` | INVALID_ARGUMENT naming field, mode and policy entry | the stored form keeps no order and no words |
| match, facet, group_by or an index on a `sealed` field | INVALID_ARGUMENT likewise | the stored form keeps no equality |
| a text query (`text`) on a field that is not `plain` | INVALID_ARGUMENT | the query's words would travel in clear |
| vectors of a `recover: none` name in an answer | INVALID_ARGUMENT | nobody can recover them |
| `replicate_points` with a filter | INVALID_ARGUMENT | the filter's values would travel in clear |

Shard keys, alias names, vector names and payload key names travel and lie in clear.
"""


def document() -> str:
    """The page's text."""
    rows = [f"| `{route.rpc}` | {route.handling} | {route.action} | {route.about} |" for route in ROUTES.values()]
    table = "\n".join(["| RPC | handling | action | how |", "|---|---|---|---|", *rows, ""])
    return _HEAD.format(version=version("qdrant-client")) + table + _TAIL


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(document(), encoding="utf-8")
