"""The rewritten expression selects of the rows at rest exactly those that the client's selects of the rows in clear."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shields import ring_of

from vecguard.front.milvus.expression import rewrite

from .rows import COLUMNS, fields_of, lite_table, protected, tables_of
from .strategies import expressions, rows

FIELDS = fields_of()
TABLES = 6
HEALTH = [HealthCheck.too_slow]


@cache
def tables(seed, kind):
    """A table in clear, and the same at rest."""
    return tables_of(rows(seed, kind), FIELDS)


def check(seed, kind, text, row_by_row):
    """The strategies make only what Lite can parse, so it refuses neither."""
    clear, stored = tables(seed, kind)
    expected = clear.select(text, row_by_row=row_by_row)
    assert stored.select(rewrite(text, COLUMNS, FIELDS).text, row_by_row=row_by_row) == expected
    return expected


SEEDS = st.integers(1, TABLES)


@settings(max_examples=50, suppress_health_check=HEALTH, deadline=None)
@given(SEEDS, expressions("mixed"))
def test_mixed_types_row_by_row(seed, text):
    check(seed, "mixed", text, row_by_row=True)


@settings(max_examples=50, suppress_health_check=HEALTH, deadline=None)
@given(SEEDS, st.sampled_from(["words", "whole", "real"]).flatmap(lambda k: st.tuples(st.just(k), expressions(k))))
def test_one_type_a_key_as_lite_evaluates_it(seed, asked):
    check(seed, *asked, row_by_row=False)


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=HEALTH, deadline=None)
@given(SEEDS, expressions("mixed"))
def test_many_mixed_types_row_by_row(seed, text):
    check(seed, "mixed", text, row_by_row=True)


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=HEALTH, deadline=None)
@given(SEEDS, st.sampled_from(["words", "whole", "real"]).flatmap(lambda k: st.tuples(st.just(k), expressions(k))))
def test_many_of_one_type_a_key_as_lite_evaluates_it(seed, asked):
    check(seed, *asked, row_by_row=False)


def test_the_conditions_tell_rows_apart():
    """A test of the tests: most conditions select some rows and not others."""
    clear, _ = tables(1, "mixed")
    asked = [
        't_searchable == "red"',
        "n_searchable != 2",
        "b_searchable",
        "k_searchable == 2",
        'j_searchable["word"] == 2.0',
        "array_contains(an_searchable, 2)",
        "t_sealed is null",
        'exists j_sealed["a"]',
        "array_length(at_sealed) == 2",
    ]
    for text in asked:
        assert 0 < len(check(1, "mixed", text, row_by_row=True)) < clear.table.num_rows, text


@settings(max_examples=30, suppress_health_check=HEALTH, deadline=None)
@given(expressions("mixed"))
def test_rows_under_older_and_newer_keys(text):
    """While keys are rotated some rows are still under the old one; both are found."""
    both, clear, stored = rotated()
    expected = clear.select(text, row_by_row=True)
    assert stored.select(rewrite(text, COLUMNS, both).text, row_by_row=True) == expected


@cache
def rotated():
    """The fields of a collection in rotation, its rows in clear, and at rest: each second one under the old key."""
    some, old, both = rows(1, "mixed"), fields_of(ring_of(1)), fields_of(ring_of(1, 2))
    at_rest = [protected(row, old if row["id"] % 2 else both) for row in some]
    return both, lite_table(some, lambda _: "plain"), lite_table(at_rest, lambda name: both.mode((name,)))
