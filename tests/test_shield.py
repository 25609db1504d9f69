"""Stored vectors follow their formula, come back exactly, and open only where they belong."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shields import dense_of, policy_of, record_of, ring_of, shield_of

from vecguard.errors import FailedPrecondition, InvalidArgument, Unreadable
from vecguard.metric import normalize
from vecguard.policy.model import CollectionPolicy, VectorRule
from vecguard.policy.transforms import (
    AnalyticGaussianSpec,
    LaplaceSpec,
    PurkayasthaSpec,
    RotationSpec,
    ScaleAndPerturbSpec,
    VonMisesFisherSpec,
)
from vecguard.seal.entry import EntrySealer
from vecguard.seal.ids import num_id, uuid_id
from vecguard.transform.gaussian import GaussianNoise

DISTANCES = ("cosine", "dot", "euclid")
RATIOS = (0.0, 0.5, 1.0, 2.0, 8.0)
UUID_POINT = uuid_id("936da01f-9abd-4d9d-80c7-02af85c822a8")


def ids_of(n):
    return [num_id(i) for i in range(n)]


def embeddings(n, dims, seed=0, norm=3.0):
    x = np.random.default_rng(seed).normal(size=(n, dims))
    return (norm * x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def rotation_of(guard):
    """R, one column for each unit vector."""
    return guard.query(np.eye(guard.record.dims, dtype=np.float32), 1).T


def kept(x, distance):
    """What the database would keep of x without us, and recovery must give back."""
    return normalize(x) if distance == "cosine" else x


def opened(guard, ids, stored, entries):
    return guard.open(ids, stored, [[entry] for entry in entries]).x


# -- mechanisms beside plain Gaussian noise ----------------------------------------------------------------------------

UNIT_ONLY = [
    AnalyticGaussianSpec(epsilon=900),
    LaplaceSpec(epsilon=40),
    ScaleAndPerturbSpec(),
    PurkayasthaSpec(epsilon=40),
    VonMisesFisherSpec(epsilon=40),
]
SEALED_ONLY = {"purkayastha", "von-mises-fisher"}


def unit_guard(noise, distance="cosine", kind="dense", half=False, ring=None):
    recover = "sealed" if noise.kind in SEALED_ONLY else "derived"
    record = record_of(dims=48, distance=distance, recover=recover, kind=kind, half=half)
    return dense_of(record.model_copy(update={"transforms": (RotationSpec(), noise)}), ring)


@pytest.mark.parametrize("noise", UNIT_ONLY, ids=lambda noise: noise.kind)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("half", [False, True])
def test_every_mechanism_comes_back_and_is_checked(noise, distance, half):
    guard, x, ids = unit_guard(noise, distance, half=half), embeddings(9, 48, norm=1.0), ids_of(9)
    stored, entries = guard.protect(ids, x)
    at_rest = stored.astype(np.float16).astype(np.float32) if half else stored
    assert np.abs(stored @ x.T).max() < 0.9 * np.abs(x @ x.T).max()
    np.testing.assert_allclose(opened(guard, ids, at_rest, entries), x, atol=2e-2 if half else 2e-5)
    scored = guard.open_for_scoring(ids, at_rest, [[entry] for entry in entries])
    queries = guard.query(x, 1) if guard.scores_rotated else x
    np.testing.assert_allclose(scored @ queries.T, x @ x.T, atol=3e-2 if half else 1e-4)
    for forged in (at_rest[::-1].copy(), at_rest * np.float32(1.1)):
        with pytest.raises(Unreadable):
            opened(guard, ids, forged, entries)


@pytest.mark.parametrize("noise", UNIT_ONLY, ids=lambda noise: noise.kind)
def test_every_mechanism_works_on_multivectors(noise):
    guard, rows = unit_guard(noise, kind="multi"), embeddings(4, 48, norm=1.0)
    stored, entry = guard.protect_rows(num_id(1), rows)
    np.testing.assert_allclose(guard.open_rows(num_id(1), stored, [entry]).x, rows, atol=2e-5)
    with pytest.raises(Unreadable):
        guard.open_rows(num_id(1), stored[::-1].copy(), [entry])
    with pytest.raises(Unreadable):
        guard.open_rows(num_id(2), stored, [entry])


@pytest.mark.parametrize("noise", UNIT_ONLY, ids=lambda noise: noise.kind)
def test_mechanisms_for_unit_vectors_refuse_others(noise):
    ids, x = ids_of(2), embeddings(2, 48, norm=1.0)
    guard = unit_guard(noise, "dot")
    for bad in (x * 1.01, x * 0.99, x * [[1], [0]], x * [[np.nan], [1]]):
        with pytest.raises(InvalidArgument, match="unit vectors"):
            guard.protect(ids, bad.astype(np.float32))
    guard.protect(ids, x * np.float32(1.0005))
    assert len(unit_guard(noise, "cosine").protect(ids, x * np.float32(7))[0]) == 2  # cosine makes them so
    with pytest.raises(InvalidArgument, match="unit vectors"):
        unit_guard(noise, "cosine").protect(ids, np.zeros_like(x))


@pytest.mark.parametrize("noise", UNIT_ONLY, ids=lambda noise: noise.kind)
def test_the_noise_of_unit_vectors_does_not_depend_on_the_last_bits_of_their_length(noise):
    """Its scale would tell something of the record otherwise."""
    guard, x, ids = unit_guard(noise, "dot"), embeddings(1, 48, norm=1.0005), ids_of(1)
    _, (entry,) = guard.protect(ids, x)
    sealer = EntrySealer(ring_of(1), shield_of().manifest.uuid.bytes, "", 48)
    assert sealer.open(ids[0], entry).noise_scale == 1.0


# -- the formula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("ratio", RATIOS)
def test_stored_is_rotation_plus_noise_over_scale(distance, ratio):
    guard, x, ids = dense_of(record_of(dims=48, distance=distance, ratio=ratio)), embeddings(7, 48), ids_of(7)
    stored, _ = guard.protect(ids, x)
    exact = kept(x, distance)
    rotation = rotation_of(guard).astype(np.float64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(48), atol=1e-6)
    key = ring_of(1)
    nonces = EntrySealer(key, shield_of().manifest.uuid.bytes, "", 48).nonces(ids, x)
    noise = GaussianNoise(key.subkey(1, "transform gaussian", ""), 48, ratio).sample(nonces)
    y = exact @ rotation.T + noise * np.linalg.norm(exact, axis=1, keepdims=True)
    scale = {"cosine": np.linalg.norm(y, axis=1, keepdims=True), "dot": 1.0, "euclid": 1 + ratio**2}[distance]
    np.testing.assert_allclose(stored, y / scale, rtol=1e-4, atol=1e-5 * (1 + ratio))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_noise_has_the_ratio_of_the_policy_and_is_of_no_use_twice(distance, ratio):
    guard, x = dense_of(record_of(dims=768, distance=distance, ratio=ratio)), embeddings(40, 768)
    stored, entries = guard.protect(ids_of(40), x)
    scale = guard.open(ids_of(40), stored, [[entry] for entry in entries]).stored_scale
    noise = stored * scale[:, None] - kept(x, distance) @ rotation_of(guard).T
    sizes = np.linalg.norm(noise, axis=1) / np.linalg.norm(kept(x, distance), axis=1)
    np.testing.assert_allclose(sizes, ratio, rtol=0.15)  # six standard deviations of a chi of 768 degrees
    directions = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    assert np.abs(directions @ directions.T - np.eye(40)).max() < 0.25


@pytest.mark.parametrize("distance", DISTANCES)
def test_writing_the_same_again_gives_the_same(distance):
    guard, x = dense_of(record_of(distance=distance)), embeddings(3, 16)
    first, second = guard.protect(ids_of(3), x), guard.protect(ids_of(3), x)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    other_ids, _ = guard.protect([num_id(i + 10) for i in range(3)], x)
    assert np.abs(first[0] - other_ids).max(axis=1).min() > 1e-3


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_batch_is_its_records_one_by_one(distance):
    guard, x = dense_of(record_of(distance=distance, recover="sealed")), embeddings(5, 16)
    stored, entries = guard.protect(ids_of(5), x)
    for i in range(5):
        alone, entry = guard.protect([num_id(i)], x[i : i + 1])
        np.testing.assert_allclose(alone[0], stored[i], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(opened(guard, [num_id(i)], stored[i : i + 1], entry)[0], kept(x, distance)[i], 1e-4)
    assert len(entries) == 5


def test_what_the_client_sent_is_left_as_it_was():
    for distance in DISTANCES:
        guard, x = dense_of(record_of(distance=distance)), embeddings(3, 16)
        before = x.copy()
        stored, entries = guard.protect(ids_of(3), x)
        stored_before = stored.copy()
        guard.open(ids_of(3), stored, [[entry] for entry in entries])
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(stored, stored_before)


def test_queries_are_rotated_and_not_noised():
    guard, query = dense_of(record_of(dims=32, ratio=4.0)), embeddings(2, 32)
    protected = guard.query(query, 1)
    np.testing.assert_allclose(protected, query @ rotation_of(guard).T, atol=1e-5)
    np.testing.assert_allclose(protected @ protected.T, query @ query.T, rtol=1e-5, atol=1e-5)
    assert np.abs(protected - query).max() > 0.1


@pytest.mark.parametrize("distance", DISTANCES)
def test_without_noise_scores_at_rest_are_exact(distance):
    guard = dense_of(record_of(dims=64, distance=distance, ratio=0.0))
    x, query = embeddings(20, 64), embeddings(1, 64, seed=9)
    stored, _ = guard.protect(ids_of(20), x)
    assert (guard.noise_ratio, guard.fixed_scale, guard.rerank) == (0.0, 1.0, None)
    np.testing.assert_allclose(guard.query(query, 1) @ stored.T, query @ kept(x, distance).T, rtol=1e-4, atol=1e-5)


# -- the way back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("recover", ["derived", "sealed"])
@pytest.mark.parametrize("dims", [1, 2, 31, 128])
def test_recovery_is_exact(distance, ratio, recover, dims):
    guard = dense_of(record_of(dims=dims, distance=distance, ratio=ratio, recover=recover))
    x, ids = embeddings(6, dims), [*ids_of(5), UUID_POINT]
    stored, entries = guard.protect(ids, x)
    exact = kept(x, distance)
    result = opened(guard, ids, stored, entries)
    if recover == "sealed":
        np.testing.assert_array_equal(result, exact)
    else:
        errors = np.linalg.norm(result - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert errors.max() <= 1e-5


@pytest.mark.parametrize("distance", DISTANCES)
def test_recovery_is_exact_through_a_butterfly(distance):
    guard, x = dense_of(record_of(dims=1536, distance=distance)), embeddings(3, 1536)
    stored, entries = guard.protect(ids_of(3), x)
    np.testing.assert_allclose(opened(guard, ids_of(3), stored, entries), kept(x, distance), atol=1e-5)


@pytest.mark.parametrize("ratio", [0.5, 8.0])
def test_recovery_survives_a_database_that_normalises_again(ratio):
    guard, x = dense_of(record_of(dims=96, ratio=ratio)), embeddings(4, 96)
    stored, entries = guard.protect(ids_of(4), x)
    again = normalize(stored * np.float32(1.0000005))
    np.testing.assert_allclose(opened(guard, ids_of(4), again, entries), kept(x, "cosine"), atol=2e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_zero_vector_stays_zero(distance):
    for recover in ("derived", "sealed"):
        guard, x = dense_of(record_of(distance=distance, recover=recover)), np.zeros((2, 16), np.float32)
        stored, entries = guard.protect(ids_of(2), x)
        assert not stored.any()
        assert not opened(guard, ids_of(2), stored, entries).any()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DISTANCES), st.floats(-29, 37), st.integers(0, 2**32 - 1), st.booleans())
def test_any_norm_comes_back(distance, exponent, seed, sealed):
    # Cosine vectors below 3.5e-4 are kept as they are by Qdrant, and so here.
    guard = dense_of(record_of(dims=8, distance=distance, recover="sealed" if sealed else "derived"))
    x = embeddings(1, 8, seed, norm=10.0**exponent)
    stored, entries = guard.protect([num_id(1)], x)
    exact = kept(x, distance)
    result = opened(guard, [num_id(1)], stored, entries)
    assert np.linalg.norm((result - exact).astype(float)) <= 1e-5 * np.linalg.norm(exact.astype(float))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("recover", ["derived", "sealed"])
def test_what_was_accepted_can_be_opened(distance, half, recover):
    """However small: one point that cannot be opened would spoil every search that finds it."""
    guard = dense_of(record_of(dims=32, distance=distance, half=half, recover=recover))
    for exponent in range(-45, 5):
        x = embeddings(5, 32, norm=10.0**exponent)
        stored, entries = guard.protect(ids_of(5), x)
        kind = np.float16 if half else np.float32
        result = opened(guard, ids_of(5), stored.astype(kind).astype(np.float32), entries)
        exact = kept(x, distance)
        step = 1e-3 * np.linalg.norm(exact.astype(float), axis=1, keepdims=True) + (1e-6 if half else 1e-40)
        assert (np.abs(result - exact) <= step).all()


@pytest.mark.parametrize("distance", ["dot", "euclid"])
@pytest.mark.parametrize("recover", ["derived", "sealed", "none"])
def test_what_storage_cannot_hold_is_refused(distance, recover):
    x = embeddings(2, 32, norm=1e8)
    for half, factor in ((True, 1.0), (False, 3e30)):
        guard = dense_of(record_of(dims=32, distance=distance, half=half, recover=recover, ratio=8.0))
        too_large = x * np.float32(factor)
        assert np.isfinite(too_large).all()
        with pytest.raises(InvalidArgument, match="too large"):
            guard.protect(ids_of(2), too_large)
        with pytest.raises(InvalidArgument, match="too large"):
            guard.protect_rows(num_id(1), too_large)
        guard.protect(ids_of(2), x / np.float32(1e5))


def test_half_precision_storage_is_opened_with_its_own_tolerance():
    for distance in DISTANCES:
        for ratio in (0.0, 1.0, 8.0):
            guard = dense_of(record_of(dims=128, distance=distance, ratio=ratio, half=True))
            x = embeddings(20, 128)
            stored, entries = guard.protect(ids_of(20), x)
            halved = stored.astype(np.float16).astype(np.float32)
            result, exact = opened(guard, ids_of(20), halved, entries), kept(x, distance)
            errors = np.linalg.norm(result - exact, axis=1) / np.linalg.norm(exact, axis=1)
            assert 1e-5 < errors.max() <= 1e-3 * (1 + ratio)


def test_sealed_vectors_are_exact_even_where_storage_is_not():
    guard, x = dense_of(record_of(dims=128, recover="sealed", half=True)), embeddings(20, 128)
    stored, entries = guard.protect(ids_of(20), x)
    halved = stored.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(opened(guard, ids_of(20), halved, entries), kept(x, "cosine"))


def test_nobody_recovers_what_the_policy_gives_up():
    guard, x = dense_of(record_of(recover="none")), embeddings(2, 16)
    stored, entries = guard.protect(ids_of(2), x)
    assert stored.shape == (2, 16)
    assert entries == [None, None]
    assert not guard.recoverable
    assert guard.rerank is None
    with pytest.raises(InvalidArgument, match="`recover: none`"):
        guard.open(ids_of(2), stored, [[], []])
    rows, entry = guard.protect_rows(num_id(1), x)
    assert (rows.shape, entry) == ((2, 16), None)
    with pytest.raises(InvalidArgument, match="`recover: none`"):
        guard.open_rows(num_id(1), rows, [])


def test_another_dimension_is_refused_in_the_words_of_qdrant():
    guard = dense_of(record_of(dims=16))
    for call in (
        lambda: guard.protect([num_id(1)], np.ones((1, 15), np.float32)),
        lambda: guard.protect_rows(num_id(1), np.ones((2, 17), np.float32)),
        lambda: guard.query(np.ones((1, 15), np.float32), 1),
    ):
        with pytest.raises(InvalidArgument, match=r"Vector dimension error: expected dim: 16, got 1[57]"):
            call()


# -- where a record opens, and where it does not ---------------------------------------------------------------------


@pytest.fixture
def one():
    guard, x = dense_of(record_of()), embeddings(1, 16)
    stored, entries = guard.protect([num_id(1)], x)
    return guard, x, stored, entries[0]


def test_a_record_opens_for_its_own_point_only(one):
    guard, _, stored, entry = one
    with pytest.raises(Unreadable):
        guard.open([num_id(2)], stored, [[entry]])


def test_a_record_opens_under_its_own_key_and_collection_only(one):
    _, x, stored, entry = one
    for stranger in (
        dense_of(record_of(), ring=ring_of(2)),
        dense_of(record_of(), identity=uuid.UUID(int=5)),
        dense_of(record_of("other")),
    ):
        with pytest.raises(Unreadable):
            stranger.open([num_id(1)], stored, [[entry]])
    again = dense_of(record_of()).open([num_id(1)], stored, [[entry]])
    np.testing.assert_allclose(again.x, kept(x, "cosine"), atol=1e-5)


def test_a_record_without_entry_is_unreadable(one):
    guard, _, stored, _ = one
    with pytest.raises(Unreadable):
        guard.open([num_id(1)], stored, [[]])
    with pytest.raises(Unreadable):
        guard.open([num_id(1)], stored, [[b""]])


def test_one_damaged_record_spoils_the_answer_and_not_in_silence():
    guard, x = dense_of(record_of()), embeddings(4, 16)
    stored, entries = guard.protect(ids_of(4), x)
    candidates = [[entry] for entry in entries]
    candidates[2] = [entries[2][:-1] + bytes([entries[2][-1] ^ 1])]
    with pytest.raises(Unreadable):
        guard.open(ids_of(4), stored, candidates)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("recover", ["derived", "sealed"])
@pytest.mark.parametrize("half", [False, True])
def test_swapped_vectors_are_found_by_their_sketch(distance, recover, half):
    guard = dense_of(record_of(dims=64, distance=distance, recover=recover, half=half))
    x = embeddings(200, 64)
    stored, entries = guard.protect(ids_of(200), x)
    moved = np.roll(stored, 1, axis=0)
    for i in range(200):
        with pytest.raises(Unreadable):
            guard.open([num_id(i)], moved[i : i + 1], [[entries[i]]])


@pytest.mark.parametrize("recover", ["derived", "sealed"])
def test_an_altered_component_is_found_by_the_sketch(recover):
    guard, x = dense_of(record_of(dims=64, recover=recover)), embeddings(1, 64)
    stored, entries = guard.protect([num_id(1)], x)
    for i in range(64):
        altered = stored.copy()
        altered[0, i] += 0.05
        with pytest.raises(Unreadable):
            guard.open([num_id(1)], altered, [[entries[0]]])


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 2.0, 1e30, np.inf, np.nan])
def test_a_scaled_vector_is_found_by_the_sketch(one, factor):
    guard, _, stored, entry = one
    with pytest.raises(Unreadable):
        guard.open([num_id(1)], stored * np.float32(factor), [[entry]])


def test_around_an_update_either_vector_opens():
    for recover in ("derived", "sealed"):
        guard, (old, new) = dense_of(record_of(recover=recover)), embeddings(2, 16)
        stored_old, (entry_old,) = guard.protect([num_id(1)], old[None])
        stored_new, (entry_new,) = guard.protect([num_id(1)], new[None])
        for stored, x in ((stored_old, old), (stored_new, new)):
            for candidates in ([entry_old, entry_new], [entry_new, entry_old], [b"junk", entry_old, entry_new]):
                result = guard.open([num_id(1)], stored, [candidates])
                np.testing.assert_allclose(result.x[0], normalize(x), atol=1e-5)
        with pytest.raises(Unreadable):
            guard.open([num_id(1)], stored_new, [[entry_old]])


def test_a_batch_takes_for_each_record_the_entry_that_fits():
    guard, x, newer = dense_of(record_of()), embeddings(4, 16), embeddings(4, 16, seed=5)
    stored, entries = guard.protect(ids_of(4), x)
    _, pending = guard.protect(ids_of(4), newer)
    candidates = [[entries[0]], [pending[1], entries[1]], [b"", pending[2], entries[2]], [entries[3], pending[3]]]
    result = guard.open(ids_of(4), stored, candidates)
    np.testing.assert_allclose(result.x, normalize(x), atol=1e-5)
    one_by_one = [guard.open([num_id(i)], stored[i : i + 1], [[entries[i]]]).stored_scale[0] for i in range(4)]
    np.testing.assert_allclose(result.stored_scale, one_by_one)
    candidates[1] = [pending[1]]
    with pytest.raises(Unreadable):
        guard.open(ids_of(4), stored, candidates)


def test_nothing_to_open_is_nothing():
    guard = dense_of(record_of())
    result = guard.open([], np.zeros((0, 16), np.float32), [])
    assert (result.x.shape, result.stored_scale.shape) == ((0, 16), (0,))
    stored, entries = guard.protect([], np.zeros((0, 16), np.float32))
    assert (stored.shape, entries) == ((0, 16), [])


# -- multivectors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("recover", ["derived", "sealed"])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_multivectors_come_back_row_by_row(distance, recover, rows):
    guard = dense_of(record_of(distance=distance, recover=recover, kind="multi"))
    x = embeddings(rows, 16)
    stored, entry = guard.protect_rows(num_id(1), x)
    result = guard.open_rows(num_id(1), stored, [b"junk", entry])
    np.testing.assert_allclose(result.x, kept(x, distance), atol=2e-5)
    assert result.stored_scale.shape == (rows,)


def test_equal_rows_of_a_multivector_get_different_noise():
    guard = dense_of(record_of(kind="multi", dims=64))
    stored, _ = guard.protect_rows(num_id(1), np.repeat(embeddings(1, 64), 3, axis=0))
    assert np.abs(stored[0] - stored[1]).max() > 1e-2
    assert np.abs(stored[1] - stored[2]).max() > 1e-2


def test_altered_multivectors_are_unreadable():
    guard, x = dense_of(record_of(kind="multi")), embeddings(3, 16)
    stored, entry = guard.protect_rows(num_id(1), x)
    assert guard.open_rows(num_id(1), stored, [entry]).x.shape == (3, 16)
    for forged in (stored[::-1], stored[:2], np.concatenate([stored, stored[:1]]), stored * np.float32(1.1)):
        with pytest.raises(Unreadable):
            guard.open_rows(num_id(1), forged, [entry])
    for point, candidates in ((num_id(2), [entry]), (num_id(1), []), (num_id(1), [entry[:-1]])):
        with pytest.raises(Unreadable):
            guard.open_rows(point, stored, candidates)


def test_around_an_update_either_multivector_opens():
    guard, old, new = dense_of(record_of(kind="multi")), embeddings(3, 16), embeddings(2, 16, seed=4)
    stored_old, entry_old = guard.protect_rows(num_id(1), old)
    stored_new, entry_new = guard.protect_rows(num_id(1), new)
    for stored, x in ((stored_old, old), (stored_new, new)):
        result = guard.open_rows(num_id(1), stored, [entry_old, entry_new])
        np.testing.assert_allclose(result.x, normalize(x), atol=1e-5)


# -- sparse vectors ----------------------------------------------------------------------------------------------------


def sparse_of(name="words", **options):
    return shield_of(record_of(name, kind="sparse"), **options).vector(name)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6, width=32), max_size=20))
def test_sparse_vectors_come_back_ascending_with_their_own_weights(pairs):
    guard = sparse_of()
    indices, values = np.array(list(pairs), np.uint32), np.array(list(pairs.values()), np.float32)
    stored, weights, entry = guard.protect(num_id(1), indices, values)
    assert (np.diff(stored.astype(np.int64)) > 0).all()
    assert sorted(weights.tolist()) == sorted(values.tolist())
    back = guard.open(num_id(1), stored, weights, [b"junk", entry])
    assert back[0].tolist() == sorted(pairs)
    assert back[1].tolist() == [pairs[i] for i in sorted(pairs)]


def test_sparse_indices_are_permuted_alike_for_points_and_queries():
    guard, indices = sparse_of(), np.array([3, 1, 2**32 - 1], np.uint32)
    stored, _, _ = guard.protect(num_id(1), indices, np.ones(3, np.float32))
    assert set(guard.query(indices, 1).tolist()) == set(stored.tolist())
    assert not set(stored.tolist()) & set(indices.tolist())
    assert set(sparse_of("other").query(indices, 1).tolist()) != set(stored.tolist())
    assert set(sparse_of(ring=ring_of(9)).query(indices, 1).tolist()) != set(stored.tolist())


def test_altered_sparse_vectors_are_unreadable():
    guard, indices = sparse_of(), np.array([3, 1, 7], np.uint32)
    stored, values, entry = guard.protect(num_id(1), indices, np.array([1, 2, 3], np.float32))
    assert guard.open(num_id(1), stored, values, [entry])[0].tolist() == [1, 3, 7]
    for point, at, weights, entries in (
        (num_id(2), stored, values, [entry]),
        (num_id(1), stored + np.uint32(1), values, [entry]),
        (num_id(1), stored, values[::-1], [entry]),
        (num_id(1), stored[:2], values[:2], [entry]),
        (num_id(1), stored, values, []),
        (num_id(1), stored, values, [entry[:-1]]),
    ):
        with pytest.raises(Unreadable):
            guard.open(point, at, weights, entries)
    with pytest.raises(Unreadable):
        sparse_of(ring=ring_of(9)).open(num_id(1), stored, values, [entry])


# -- the collection ----------------------------------------------------------------------------------------------------


def test_vectors_are_found_by_name_or_refused_in_the_words_of_qdrant():
    shield = shield_of(record_of("a"), record_of("s", kind="sparse"))
    assert shield.dense("a") is shield.vector("a")
    assert shield.vector("s").record.kind == "sparse"
    for call in (lambda: shield.dense("s"), lambda: shield.dense("b"), lambda: shield.vector("b")):
        with pytest.raises(InvalidArgument, match="Not existing vector name error"):
            call()


def test_vectors_of_two_names_have_keys_of_their_own():
    shield, x = shield_of(record_of("a"), record_of("b")), embeddings(1, 16)
    (a, _), (b, _) = (shield.dense(name).protect([num_id(1)], x) for name in "ab")
    assert np.abs(a - b).max() > 0.05
    assert np.abs(shield.dense("a").query(x, 1) - shield.dense("b").query(x, 1)).max() > 0.05


def test_re_ranking_can_be_told_to_read_exactly_so_many():
    shield = shield_of(record_of("a"), record_of("b", ratio=0.0), record_of("s", kind="sparse"))
    reading = shield.reading("a", 7)
    rule = reading.dense("a").rerank
    assert (rule.first_page, rule.max_candidates) == (7, 7)
    assert rule.certainty == shield.dense("a").rerank.certainty
    assert (shield.dense("a").rerank.first_page, shield.dense("a").rerank.max_candidates) == (50, 1000)
    assert reading.vector("b") is shield.vector("b")
    x = embeddings(1, 16)
    np.testing.assert_array_equal(reading.dense("a").query(x, 1), shield.dense("a").query(x, 1))
    for name in ("b", "s", "none"):
        assert shield.reading(name, 7) is shield
    assert shield.dense("b").reading(7) is shield.dense("b")


def test_without_re_ranking_in_the_policy_there_is_none():
    record = record_of()
    off = CollectionPolicy(match="*", vectors=(VectorRule(rerank="off"),)).placed(0)
    assert shield_of(record, policy=off).dense("").rerank is None
    assert shield_of(record).dense("").rerank is not None


def test_the_policy_must_have_a_rule_for_each_vector():
    with pytest.raises(FailedPrecondition, match="no rule in"):
        shield_of(record_of("b"), policy=policy_of([record_of("a")]))


def test_limits_are_those_of_the_policy():
    assert shield_of(record_of()).limits.max_batch == 10_000


# -- parts: several live key epochs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("recover", ["derived", "sealed"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_records_of_both_epochs_are_opened_and_found_by_their_own_probe(distance, recover):
    record = record_of(dims=96, distance=distance, recover=recover)
    x, ids = embeddings(40, 96), ids_of(40)
    old, both = dense_of(record, ring_of(1)), dense_of(record, ring_of(1, 2))
    halves = old.protect(ids[:20], x[:20]), both.protect(ids[20:], x[20:])
    stored, entries = np.concatenate([half[0] for half in halves]), [e for half in halves for e in half[1]]
    np.testing.assert_allclose(opened(both, ids, stored, entries), kept(x, distance), atol=1e-3)
    scored = both.open_for_scoring(ids, stored, [[entry] for entry in entries])
    np.testing.assert_allclose(scored, kept(x, distance), atol=1e-3)
    assert (both.parts, both.divided, both.scores_rotated, old.divided) == ((2, 1), True, False, False)
    for part, own in ((1, slice(0, 20)), (2, slice(20, 40))):
        scores = (both.query(kept(x, distance), part) @ stored.T) / np.linalg.norm(stored, axis=1)
        diagonal = np.diagonal(scores) / np.linalg.norm(kept(x, distance), axis=1)
        foreign = np.delete(diagonal, np.r_[own])
        # The noise of ratio 1 leaves a cosine of .7; a rotation of one's own, of 1 / sqrt(96).
        assert diagonal[own].mean() > 0.6
        assert np.abs(foreign).mean() < 0.2


def test_without_noise_parts_are_still_scored_exactly():
    """Scores at rest of two epochs cannot be compared, so they are never what a search answers with."""
    record = record_of(ratio=0.0)
    assert dense_of(record, ring_of(1)).rerank is None
    assert dense_of(record, ring_of(1, 2)).rerank is not None


@pytest.mark.parametrize("kind", ["dense", "multi"])
def test_an_entry_opens_under_the_epoch_that_it_names_and_no_other(kind):
    record, x = record_of(kind=kind), embeddings(1, 16)
    old, both, newer = (dense_of(record, ring) for ring in (ring_of(1), ring_of(1, 2), ring_of(9, 2)))
    point = num_id(7)

    def protected(guard):
        if kind == "dense":
            stored, (entry,) = guard.protect([point], x)
            return stored, entry
        return guard.protect_rows(point, x)

    def read(guard, stored, entry):
        if kind == "dense":
            return guard.open([point], stored, [[entry]]).x
        return guard.open_rows(point, stored, [entry]).x

    (stored, entry), (new_stored, new_entry) = protected(old), protected(both)
    for vector, of_record in ((stored, entry), (new_stored, new_entry)):
        np.testing.assert_allclose(read(both, vector, of_record), normalize(x), atol=1e-3)
    swapped = entry[:3] + (2).to_bytes(4, "big") + entry[7:]  # the marker of the other epoch on an authentic entry
    dead = new_entry[:3] + (3).to_bytes(4, "big") + new_entry[7:]  # an epoch that is not live
    for vector, of_record in ((stored, swapped), (stored, dead), (stored, new_entry), (new_stored, entry)):
        with pytest.raises(Unreadable):
            read(both, vector, of_record)
    for guard in (old, newer):  # a manifest that was rolled back, and one whose other epoch is another's
        with pytest.raises(Unreadable):
            read(guard, *((new_stored, new_entry) if guard is old else (stored, entry)))


def test_a_rotation_leaves_nothing_to_link_old_and_new_by():
    """Old and new form of the same vectors: no equal bytes, and cosines as of vectors that have nothing in common."""
    record, x, ids = record_of(dims=384), embeddings(300, 384), ids_of(300)
    (old, was), (new, now) = (dense_of(record, ring).protect(ids, x) for ring in (ring_of(1), ring_of(1, 2)))
    cosines = np.sum(old * new, axis=1) / np.linalg.norm(old, axis=1) / np.linalg.norm(new, axis=1)
    assert abs(cosines.mean()) < 4 / np.sqrt(384 * 300)
    assert abs(cosines.std() * np.sqrt(384) - 1) < 0.2
    assert not set(was) & set(now)
    assert not {entry[7:19] for entry in was} & {entry[7:19] for entry in now}  # record nonces, which noise comes of
    # Nor does the best match among all of the other's tell which is which (1 in 300 by chance).
    matched = np.argmax(old @ new.T, axis=1) == np.arange(300)
    assert matched.sum() < 8


def test_sparse_vectors_of_both_epochs():
    old, both = sparse_of(ring=ring_of(1)), sparse_of(ring=ring_of(1, 2))
    indices, values = np.uint32([3, 9, 4_294_967_295]), np.float32([1, 2, 3])
    for guard, part in ((old, 1), (both, 2)):
        stored, weights, entry = guard.protect(num_id(1), indices, values)
        assert set(both.query(indices, part).tolist()) == set(stored.tolist())
        assert not set(both.query(indices, 3 - part).tolist()) & set(stored.tolist())
        found, back = both.open(num_id(1), stored, weights, [entry])
        assert (found.tolist(), back.tolist()) == (indices.tolist(), values.tolist())
        with pytest.raises(Unreadable):
            both.open(num_id(1), stored, weights, [entry[:3] + (3 - part).to_bytes(4, "big") + entry[7:]])
