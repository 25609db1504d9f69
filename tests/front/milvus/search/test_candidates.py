"""Candidates: rows of an answer opened for scoring, damage noticed; and what is known of one query's candidates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from front.milvus.schemas import data_of, schema_of, shield_for, vectors_of
from vecguard.catalog import StaleEntry
from vecguard.errors import Unreadable
from vecguard.front.milvus.candidates import Candidates, Page, column_named, open_candidates, primary_keys
from vecguard.front.milvus.distances import Band, Settling, exact_distances
from vecguard.front.milvus.ids import new_tokens
from vecguard.front.milvus.layout import record_field
from vecguard.front.milvus.proto import s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.seal.record import decode, encode

X = np.random.default_rng(3).normal(size=(4, 8)).astype(np.float32)
KEYS = [5, -1, 2**40, 7]


def stored(auto_id=False):
    """Rows as a database answers them, in the order of KEYS."""
    shield, layout = shield_for(schema_of(auto_id=auto_id))
    columns = [vectors_of("v", X)] + ([] if auto_id else [data_of("id", "Int64", KEYS)])
    tokens = new_tokens(len(X)) if auto_id else ()
    fields = protect_rows(shield, layout, columns, len(X), whole=True, tokens=tokens)
    page = s.SearchResultData(fields_data=fields, ids=s.IDs(int_id=s.LongArray(data=KEYS)))
    return shield, layout, page


def column(page, name):
    return next(data for data in page.fields_data if data.field_name == name)


@pytest.mark.parametrize("auto_id", [False, True])
def test_opened_candidates_have_the_exact_distances(auto_id):
    shield, layout, page = stored(auto_id)
    opened, guard = open_candidates(shield, layout, page, "v"), shield.dense("v")
    query = np.arange(8, dtype=np.float32)
    framed = guard.query(query[None], 1)[0] if guard.scores_rotated else query
    for metric in ("L2", "IP", "COSINE"):
        assert exact_distances(metric, framed, opened) == pytest.approx(exact_distances(metric, query, X), abs=1e-4)


def test_the_quick_way_and_the_thorough_way_agree():
    shield, layout, page = stored()
    quick = open_candidates(shield, layout, page, "v")
    record = column(page, record_field("v"))
    entry = decode(record.scalars.string_data.data[0])
    # A record that says more than it must is still one.
    record.scalars.string_data.data[0] = encode(entry.manifest, entry.entries | {"w": b"x"})
    assert open_candidates(shield, layout, page, "v") == pytest.approx(quick)


def test_no_rows():
    shield, layout, _ = stored()
    assert open_candidates(shield, layout, s.SearchResultData(), "v").shape == (0, 8)


def swap(values):
    values[0], values[1] = values[1], values[0]


def test_swapped_records_keys_or_vectors_are_noticed():
    for what in ("records", "keys", "vectors"):
        shield, layout, page = stored()
        if what == "records":
            swap(column(page, record_field("v")).scalars.string_data.data)
        elif what == "keys":
            swap(page.ids.int_id.data)
        else:
            data = column(page, "v").vectors.float_vector.data
            data[:] = [*data[8:16], *data[:8], *data[16:]]
        with pytest.raises(Unreadable):
            open_candidates(shield, layout, page, "v")


def test_swapped_tokens_are_noticed():
    shield, layout, page = stored(auto_id=True)
    swap(column(page, "_vg").scalars.string_data.data)
    with pytest.raises(Unreadable):
        open_candidates(shield, layout, page, "v")


@pytest.mark.parametrize("name", ["v", "_vg_v"])
def test_missing_columns(name):
    shield, layout, page = stored()
    kept = [data for data in page.fields_data if data.field_name != name]
    del page.fields_data[:]
    page.fields_data.extend(kept)
    with pytest.raises(Unreadable):
        open_candidates(shield, layout, page, "v")


@pytest.mark.parametrize("text", ["", "x", "vgr1.0000000000000000.", "vgr1..", None])
def test_damaged_records(text):
    shield, layout, page = stored()
    texts = column(page, record_field("v")).scalars.string_data.data
    texts[2] = texts[2][:-4] if text is None else text
    with pytest.raises((Unreadable, StaleEntry)):
        open_candidates(shield, layout, page, "v")


def test_records_of_another_manifest():
    shield, layout, page = stored()
    texts = column(page, record_field("v")).scalars.string_data.data
    texts[2] = encode("f" * 16, decode(texts[2]).entries)
    with pytest.raises(StaleEntry):
        open_candidates(shield, layout, page, "v")


@pytest.mark.parametrize("cut", [8, 1])
def test_missing_numbers(cut):
    shield, layout, page = stored()
    del column(page, "v").vectors.float_vector.data[-cut:]
    with pytest.raises(Unreadable):
        open_candidates(shield, layout, page, "v")


def test_chosen_rows_open_as_before():
    shield, layout, page = stored()
    places = [RowPlace(0, 3), RowPlace(0, 1)]
    chosen = s.SearchResultData(ids=s.IDs(int_id=s.LongArray(data=[KEYS[3], KEYS[1]])))
    chosen.fields_data.extend([chosen_rows([data], places) for data in page.fields_data])
    whole = open_candidates(shield, layout, page, "v")
    assert open_candidates(shield, layout, chosen, "v") == pytest.approx(whole[[3, 1]])


def test_primary_keys_of_both_kinds():
    assert list(primary_keys(s.IDs(int_id=s.LongArray(data=[1, 2])))) == [1, 2]
    assert list(primary_keys(s.IDs(str_id=s.StringArray(data=["a"])))) == ["a"]
    assert list(primary_keys(s.IDs())) == []
    with pytest.raises(Unreadable):
        column_named([], "a")


def page_of(keys, distances, worst=0.0):
    places = [RowPlace(0, i) for i in range(len(keys))]
    return Page(keys, places, [], np.array(distances, np.float32), np.full(len(keys), worst, np.float32), 1.0)


def test_a_row_that_comes_twice_counts_once():
    found = Candidates("L2", Band(), None)
    found.add(page_of([1, 2], [3, 1]), 0)
    found.add(page_of([2, 3], [1, 2], worst=2), 0)
    assert list(found.keys) == [1, 2, 3]
    assert found.distances.tolist() == [3, 1, 2]
    assert [found.keys[i] for i in found.ranked()] == [2, 3, 1]


def test_nothing_is_settled_before_enough_is_read():
    found = Candidates("IP", Band(), None)
    assert not found.beyond(found.bound(1), 0)
    found.add(page_of([1], [5], worst=5), 0)
    assert found.beyond(found.bound(1), 0)
    assert not found.beyond(found.bound(2), 0)


def test_what_a_range_leaves_out_is_skipped_but_known():
    found = Candidates("L2", Band(radius=3, range_filter=2), None)
    found.add(page_of([1, 2, 3], [1, 2, 5], worst=5), 0)
    assert [found.keys[i] for i in found.ranked()] == [2]
    assert found.skipped == 1
    assert found.beyond(found.bound(9), 0)  # what was not read lies beyond the radius


def test_a_page_of_a_part_does_not_say_how_far_the_whole_was_read():
    found = Candidates("L2", Band(), None)
    found.add(page_of([1], [1], worst=1), 0)
    found.add(page_of([2], [9], worst=9), 0, whole=False)
    assert not found.beyond(5, 0)
    found.add(page_of([3], [6], worst=6), 0)
    assert found.beyond(5, 0)


@given(
    distances=st.lists(st.floats(0, 4, width=32), min_size=5, max_size=40),
    noise=st.lists(st.floats(-1, 1, width=32), min_size=40, max_size=40),
    read=st.integers(1, 40),
)
def test_settling_asks_the_certificate(distances, noise, read):
    """Settled here means: the certificate says so of the k-th best read and the worst at rest."""
    rest = np.abs(np.array(distances) + noise[: len(distances)])
    order = np.argsort(rest)[:read]
    query = np.ones(16, np.float32)
    settling = Settling.of("L2", query, 1.0, 1.0, stored_scale=2.0, dims=16)
    found = Candidates("L2", Band(), settling)
    found.add(page_of(order.tolist(), [distances[i] for i in order], worst=float(rest[order[-1]])), 0)
    best = sorted(np.float32(distances[i]) for i in order)
    if len(best) < 3:
        assert not found.beyond(found.bound(3), 0)
    else:
        worst = float(np.float32(rest[order[-1]]))
        assert found.beyond(found.bound(3), 0) == settling.settled(float(best[2]), worst, 1.0)


def test_what_is_foretold():
    """Without a certificate, or before there is an answer, twice what was read; else what the certificate says."""
    found = Candidates("L2", Band(), None)
    found.add(page_of([1, 2], [1, 2], worst=1), 0)
    assert found.foretold(5.0, 0) == 4
    settling = Settling.of("L2", np.ones(16, np.float32), 1.0, 1.0, stored_scale=2.0, dims=16)
    found = Candidates("L2", Band(), settling)
    at_rest = np.linspace(1, 3, 20, dtype=np.float32)
    found.add(Page(list(range(20)), [RowPlace(0, i) for i in range(20)], [], at_rest, at_rest, 1.0), 0)
    assert found.foretold(None, 0) == 40
    assert found.foretold(2.0, 0) == settling.foretold(2.0, at_rest, 1.0)
    assert 30 <= found.foretold(2.0, 0) <= 160
