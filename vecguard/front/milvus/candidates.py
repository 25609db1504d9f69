"""Candidates of a search: rows opened to be scored, and what was read of them for one query.

Opened vectors are in the coordinates in which that is the cheapest (see `vecguard.transform.frame`), never what a
client is shown: `reveal` gives those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, cast

import numpy as np

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import reveal
from vecguard.front.milvus.columns import dense
from vecguard.front.milvus.distances import Band, Metric, PrimaryKey, Settling, bigger_is_better, kth_best, ordered
from vecguard.front.milvus.layout import FLOAT_VECTOR, Layout, record_field
from vecguard.front.milvus.proto import s
from vecguard.front.milvus.selection import RowPlace
from vecguard.metric import FloatArray
from vecguard.seal import base64url
from vecguard.seal.record import head_of
from vecguard.shield import Shield
from vecguard.stages import timed

# What a stored row is grouped by: a value as it is at rest, None for null.
GroupKey: TypeAlias = bool | int | str | None


def primary_keys(ids: s.IDs) -> Sequence[PrimaryKey]:
    """The primary keys of an answer's rows."""
    is_text = ids.WhichOneof("id_field") == "str_id"
    return cast("Sequence[PrimaryKey]", ids.str_id.data if is_text else ids.int_id.data)


def column_named(columns: Sequence[s.FieldData], name: str) -> s.FieldData:
    """The column of that name.

    Raises:
        Unreadable: the answer lacks it.
    """
    for data in columns:
        if data.field_name == name:
            return data
    raise Unreadable


@timed("open")
def open_candidates(shield: Shield, layout: Layout, page: s.SearchResultData, name: str) -> FloatArray:
    """The vectors called `name` of an answer's rows, opened for scoring: `(rows, d')` float32.

    The answer carries the column and the hidden ones that it takes (`Layout.needs_record`).

    Raises:
        Unreadable: a row lacks its vector or record, or they do not fit each other.
        StaleEntry: a record belongs to another manifest.
        InvalidArgument: nobody can recover these vectors.
    """
    guard, rows = shield.dense(name), len(primary_keys(page.ids))
    if not rows:
        return np.zeros((0, guard.stored_dims), np.float32)
    found = reveal.found_rows(shield, layout, page.fields_data, rows, page.ids)
    entries = _plain_entries(found, name)
    if entries is None or len(found.ids) != rows:
        there = reveal.held_dense(found, name)
        if len(there.held.rows) != rows:
            raise Unreadable
        return guard.open_for_scoring(there.held.ids, there.stored, there.held.entries)
    try:
        stored, of_rows = dense(column_named(page.fields_data, name), FLOAT_VECTOR, guard.stored_dims, rows)
    except InvalidArgument:
        raise Unreadable from None
    if len(of_rows) != rows:
        raise Unreadable
    return guard.open_for_scoring(found.ids, stored, entries)


def _plain_entries(found: reveal.Found, name: str) -> list[tuple[bytes]] | None:
    """The entries of records that are of this vector and manifest and nothing else; None where one is not.

    Nearly all are, and this is a fraction of what it takes to read any record.
    """
    column = found.columns.get(record_field(name))
    texts = () if column is None else column.scalars.string_data.data
    if len(texts) != found.rows:
        return None
    head, entries = head_of(found.shield.manifest.short_id, name), []
    for text in texts:
        rest = text.removeprefix(head)
        if len(rest) == len(text) or "." in rest:
            return None
        entries.append((base64url.decode(rest),))
    return entries


class Page(NamedTuple):
    """What one answer holds for one query, in the database's order.

    distances: `(n,)` float32, exact; at_rest: what the database said. norm: the largest of the opened vectors. groups:
    empty where the search is not grouped.
    """

    keys: Sequence[PrimaryKey]
    places: Sequence[RowPlace]
    groups: Sequence[GroupKey]
    distances: FloatArray
    at_rest: FloatArray
    norm: float


class Candidates:
    """Candidates of one query read so far, scored."""

    def __init__(self, metric: Metric, band: Band, settling: Settling | None) -> None:
        """`settling` is None where distances keep the order that they have at rest."""
        self.places: list[RowPlace] = []
        self.groups: list[GroupKey] = []
        self.exhausted = False
        self._metric = metric
        self._band = band
        self._settling = settling
        self._known: set[PrimaryKey] = set()
        self._keys: list[PrimaryKey] = []
        self._distances: list[FloatArray] = []
        self._at_rest: dict[int, list[FloatArray]] = {}
        self._largest_norm = 0.0

    @timed("rerank")
    def add(self, page: Page, part: int, *, exhausted: bool = False, whole: bool = True) -> None:
        """Take a page that the probe of `part` brought; a row seen before counts once.

        Pages of an index may overlap, and the probes of several parts (see `DenseShield`) find the same rows.

        exhausted: there are no more candidates. whole: the page is of all rows that the search may find, so that its
        last row says how far was read.
        """
        self.exhausted = self.exhausted or exhausted
        fresh = [i for i, key in enumerate(page.keys) if key not in self._known]
        self._keys.extend(page.keys[i] for i in fresh)
        self._known.update(page.keys)
        self.places.extend(page.places[i] for i in fresh)
        self.groups.extend(page.groups[i] for i in fresh if page.groups)
        self._distances.append(page.distances[fresh])
        self._largest_norm = max(self._largest_norm, page.norm)
        if whole and len(page.keys):
            self._at_rest.setdefault(part, []).append(page.at_rest)

    @property
    def keys(self) -> Sequence[PrimaryKey]:
        """Primary keys, in the order of arrival; `places`, `groups` and `distances` are of the same rows."""
        return self._keys

    @property
    def distances(self) -> FloatArray:
        """Exact distances, `(n,)` float32."""
        if len(self._distances) > 1:
            self._distances = [np.concatenate(self._distances)]
        return self._distances[0] if self._distances else np.zeros(0, np.float32)

    @timed("rerank")
    def ranked(self) -> list[int]:
        """Positions of what the band lets through, best first."""
        distances = self.distances
        inside = np.flatnonzero(self._band.passes(distances, self._metric))
        keys = [self._keys[i] for i in inside.tolist()]
        order = ordered(keys, distances[inside], descending=bigger_is_better(self._metric))
        best: list[int] = inside[order].tolist()
        return best

    @property
    def skipped(self) -> int:
        """How many candidates are too good for the band."""
        return self._band.skips(self.distances, self._metric)

    def bound(self, wanted: int) -> float | None:
        """The distance that a row not read must beat to belong to the best `wanted`; None before there is one."""
        distances = self.distances
        inside = distances[self._band.passes(distances, self._metric)]
        return self._band.stricter(kth_best(inside, wanted, self._metric), self._metric)

    @timed("rerank")
    def beyond(self, bound: float | None, part: int) -> bool:
        """Whether no row of `part` that was not read can plausibly be better than `bound`; False for None."""
        if bound is None or part not in self._at_rest:
            return False
        worst = float(self._at_rest[part][-1][-1])
        if self._settling is None:
            return worst <= bound if bigger_is_better(self._metric) else worst >= bound
        return self._settling.settled(bound, worst, self._largest_norm)

    @timed("rerank")
    def foretold(self, bound: float | None, part: int) -> int:
        """How many rows the probe of `part` has to read until `bound` is settled, as far as can be told."""
        read = self._at_rest.get(part)
        at_rest = np.concatenate(read) if read else np.zeros(1, np.float32)
        if bound is None or self._settling is None:
            return 2 * len(at_rest)
        return self._settling.foretold(bound, at_rest, self._largest_norm)
