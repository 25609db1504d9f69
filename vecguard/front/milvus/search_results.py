"""The answer of a search, in the form of the database's own (`SearchResultData` of schema.proto), built or opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from vecguard.front.milvus import reveal
from vecguard.front.milvus.candidates import column_named, primary_keys
from vecguard.front.milvus.distances import PrimaryKey, rounded
from vecguard.front.milvus.execute import Found, Hit
from vecguard.front.milvus.layout import VARCHAR, Layout, is_hidden
from vecguard.front.milvus.outputs import client_outputs, dynamic_keys
from vecguard.front.milvus.proto import m, s
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.shield import Shield

# What answers only requests that are refused on protected collections; its values would be those at rest.
_UNASKED: Final = ("group_by_field_values", "highlight_results", "agg_buckets", "agg_topks")


def ids_of(layout: Layout, keys: Sequence[PrimaryKey]) -> s.IDs:
    """Primary keys as an answer has them."""
    ids = s.IDs()
    if layout.primary.data_type == VARCHAR:
        ids.str_id.data.extend([str(key) for key in keys])
    else:
        ids.int_id.data.extend([int(key) for key in keys])
    return ids


def ranked_results(
    layout: Layout, hits: Sequence[Sequence[tuple[PrimaryKey, float]]], round_decimal: int
) -> s.SearchResultData:
    """An answer's keys and distances: for each query its rows in their order. Columns are for others to add."""
    keys = [key for of_query in hits for key, _ in of_query]
    distances = np.array([distance for of_query in hits for _, distance in of_query], np.float32)
    topks = [len(of_query) for of_query in hits]
    return s.SearchResultData(
        num_queries=len(hits),
        top_k=topks[-1] if topks else 0,
        topks=topks,
        scores=rounded(distances, round_decimal).tolist(),
        ids=ids_of(layout, keys),
    )


def searched(
    shield: Shield, layout: Layout, found: Found, outputs: Sequence[str], grouped_by: str | None, round_decimal: int
) -> m.SearchResults:
    """The answer to a client whose search was run here; `outputs` are the stored columns that it takes to answer.

    Raises:
        Unreadable, StaleEntry: a row's columns cannot be opened.
    """
    pairs = [[(hit.key, hit.distance) for hit in hits] for hits in found.hits]
    results = ranked_results(layout, pairs, round_decimal)
    first, chosen = found.pages[0], [hit for hits in found.hits for hit in hits]
    results.primary_field_name = first.results.primary_field_name
    results.all_search_count = first.results.all_search_count
    wanted = wanted_by(outputs)
    results.output_fields.extend(client_outputs([name for name in first.results.output_fields if wanted(name)]))
    stored = columns_of(found, chosen, lambda name: name == grouped_by or is_hidden(name) or wanted(name))
    rows = reveal.found_rows(shield, layout, stored, len(chosen), results.ids)
    answered = [data for data in stored if wanted(data.field_name) or data.is_dynamic]
    results.fields_data.extend(reveal.client_columns(rows, answered, dynamic_keys(layout, client_outputs(outputs))))
    if grouped_by is not None and chosen:
        results.group_by_field_value.CopyFrom(reveal.opened(rows, column_named(stored, grouped_by)))
    reply = m.SearchResults(collection_name=first.collection_name, session_ts=first.session_ts, results=results)
    reply.status.CopyFrom(first.status)
    return reply


def wanted_by(outputs: Sequence[str]) -> Callable[[str], bool]:
    """Whether a client that asks for these columns wants one of a name."""
    names = frozenset(outputs)
    return lambda name: "*" in names or name in names


def columns_of(found: Found, hits: Sequence[Hit], wanted: Callable[[str], bool]) -> list[s.FieldData]:
    """The wanted ones of the stored columns that a search's pages carry, with the rows of these hits.

    The column of dynamic fields is always wanted: an answer has it where dynamic fields were asked for.
    """
    places = [hit.place for hit in hits]
    by_page = [
        {data.field_name: data for data in page.results.fields_data if data.is_dynamic or wanted(data.field_name)}
        for page in found.pages
    ]
    # A page without rows may come without columns.
    names = dict.fromkeys(name for columns in by_page for name in columns)
    return [_column(name, by_page, places) for name in names]


def _column(name: str, by_page: Sequence[dict[str, s.FieldData]], places: Sequence[RowPlace]) -> s.FieldData:
    having = [number for number, columns in enumerate(by_page) if name in columns]
    renumbered = {number: i for i, number in enumerate(having)}
    return chosen_rows(
        [by_page[number][name] for number in having],
        # A row of a page without the column is one that `chosen_rows` does not find.
        [RowPlace(renumbered.get(page, len(having)), row) for page, row in places],
    )


def reveal_results(
    shield: Shield, layout: Layout, results: s.SearchResultData, outputs: Sequence[str], grouped_by: str | None
) -> None:
    """Turn the database's own answer into the client's, in place; `outputs` were asked of the database.

    Raises:
        Unreadable, StaleEntry: a row's columns cannot be opened.
    """
    rows = reveal.found_rows(shield, layout, results.fields_data, len(primary_keys(results.ids)), results.ids)
    columns = reveal.client_columns(rows, results.fields_data, dynamic_keys(layout, client_outputs(outputs)))
    if grouped_by is not None and results.HasField("group_by_field_value"):
        # Some servers leave the name out.
        results.group_by_field_value.field_name = grouped_by
        results.group_by_field_value.CopyFrom(reveal.opened(rows, results.group_by_field_value))
    for part in _UNASKED:
        if part in results.DESCRIPTOR.fields_by_name:
            results.ClearField(part)
    del results.fields_data[:]
    results.fields_data.extend(columns)
    names = client_outputs(results.output_fields)
    del results.output_fields[:]
    results.output_fields.extend(names)
