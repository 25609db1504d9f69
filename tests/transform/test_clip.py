"""A declared clip norm: what is longer is shortened; noise and certificate are for that norm, not a record's own."""

import math

import numpy as np
import pytest
from scipy import stats
from shields import policy_of, record_of, shield_of

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.metric import Distance
from vecguard.policy.chain import chain_faults
from vecguard.policy.model import FixedRerankRule
from vecguard.policy.transforms import AnalyticGaussianSpec, RotationSpec, TruncateSpec
from vecguard.rerank import Certificate
from vecguard.transform.accounting import gaussian_delta
from vecguard.transform.chain import compile_chain
from vecguard.transform.strength import UNIT_TOLERANCE

DIMS, CLIP = 48, 2.5
SPEC = AnalyticGaussianSpec(epsilon=300, delta=1e-6, clip=CLIP)


def vectors(count: int = 400, longest: float = 10.0) -> np.ndarray:
    """Vectors of norms evenly spread up to `longest`."""
    random = np.random.default_rng(3)
    x = random.standard_normal((count, DIMS))
    x *= np.linspace(longest / count, longest, count)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32)


def shortened(x: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x * np.minimum(1.0, CLIP / lengths)


def shield(distance: Distance, recover: str = "derived", half: bool = False):
    record = record_of(dims=DIMS, distance=distance, half=half).model_copy(
        update={"transforms": (RotationSpec(), SPEC), "recover": recover}
    )
    fixed = record.model_copy(update={"recover": "derived"})
    policy = policy_of([fixed])
    if recover == "sealed":
        rule = policy.vectors[0].model_copy(update={"recover": "sealed", "rerank": FixedRerankRule(candidates=50)})
        policy = policy.model_copy(update={"vectors": (rule,)})
    return shield_of(record, policy=policy).dense("")


def ids(count: int) -> list[bytes]:
    return [i.to_bytes(8, "big") for i in range(count)]


def test_the_chain_shortens_what_is_longer_and_leaves_the_rest() -> None:
    chain = compile_chain([RotationSpec(), SPEC], DIMS, Key(bytes(32)).derive)
    x = vectors()
    np.testing.assert_allclose(chain.clipped(x), shortened(x), rtol=1e-6)
    assert np.linalg.norm(chain.clipped(x), axis=1).max() <= CLIP * (1 + UNIT_TOLERANCE)
    short = vectors(20, CLIP * 0.9)
    assert chain.clipped(short) is short
    assert not chain.unit_only


@pytest.mark.parametrize("distance", ["dot", "euclid"])
def test_noise_spends_what_it_says_over_vectors_of_the_clip_norm(distance: Distance) -> None:
    """The deviation at rest is that of sensitivity 2 C, of short records and long ones alike."""
    guard, x = shield(distance), vectors(4_000)
    stored, _ = guard.protect(ids(len(x)), x)
    noise = stored.astype(float) - guard.query(shortened(x).astype(np.float32), guard.parts[0])
    sigma = math.sqrt(np.mean(noise**2))
    assert stats.kstest(noise[:, 0] / sigma, stats.norm.cdf).pvalue > 1e-3
    assert np.std(noise[:800]) == pytest.approx(np.std(noise[-800:]), rel=0.03)
    mu = 2 * CLIP * (1 + UNIT_TOLERANCE) / sigma
    assert gaussian_delta(mu / 1.01, 300.0) <= 1e-6 < gaussian_delta(mu * 1.03, 300.0)


@pytest.mark.parametrize("distance", ["dot", "euclid"])
@pytest.mark.parametrize("half", [False, True])
def test_derived_gives_the_shortened_vector_back(distance: Distance, half: bool) -> None:
    guard, x = shield(distance, half=half), vectors()
    stored, entries = guard.protect(ids(len(x)), x)
    kept = stored.astype(np.float16).astype(np.float32) if half else stored
    opened = guard.open(ids(len(x)), kept, [[entry] for entry in entries]).x
    np.testing.assert_allclose(opened, shortened(x), atol=0.05 if half else 1e-4)


def test_sealed_gives_the_exact_vector_back_and_claims_no_certificate() -> None:
    guard, x = shield("dot", "sealed"), vectors()
    stored, entries = guard.protect(ids(len(x)), x)
    np.testing.assert_array_equal(guard.open(ids(len(x)), stored, [[entry] for entry in entries]).x, x)
    assert not guard.certified
    assert shield("dot").certified


def test_cosine_vectors_are_of_unit_length_whatever_is_declared() -> None:
    guard, x = shield("cosine"), vectors()
    stored, entries = guard.protect(ids(len(x)), x)
    opened = guard.open(ids(len(x)), stored, [[entry] for entry in entries]).x
    np.testing.assert_allclose(opened, x / np.linalg.norm(x, axis=1, keepdims=True), atol=1e-4)
    assert guard.noise_norm is None


def test_an_altered_vector_is_noticed() -> None:
    guard, x = shield("dot"), vectors()
    stored, entries = guard.protect(ids(len(x)), x)
    stored[7, 0] += 0.5
    with pytest.raises(Unreadable):
        guard.open(ids(len(x)), stored, [[entry] for entry in entries])


@pytest.mark.parametrize("distance", ["dot", "euclid"])
@pytest.mark.parametrize("norm", [0.2, 1.0, CLIP])
def test_the_certificate_holds_for_records_of_any_length(distance: Distance, norm: float) -> None:
    """An answer at the bound is missed with a probability of at most Phi(-z)."""
    guard, z = shield(distance), 1.5
    random = np.random.default_rng(9)
    x, query = (row / np.linalg.norm(row) for row in random.standard_normal((2, DIMS)))
    x = (norm * x).astype(np.float32)
    stored, _ = guard.protect(ids(8_000), np.tile(x, (8_000, 1)))
    asked = guard.query(query.astype(np.float32)[np.newaxis], guard.parts[0])[0]
    euclid = distance == "euclid"
    exact = float(np.linalg.norm(x - query)) if euclid else float(x @ query)
    protected = np.linalg.norm(stored - asked, axis=1) if euclid else stored @ asked
    certificate = Certificate.of(
        query, distance, guard.noise_ratio, z, stored_scale=guard.fixed_scale, noise_norm=guard.noise_norm
    )
    nearer, farther = (0.0, 100.0) if euclid else (30.0, -30.0)
    for _ in range(60):
        middle = (nearer + farther) / 2
        settled = certificate.settled(exact, middle, norm)
        nearer, farther = (nearer, middle) if settled else (middle, farther)
    missed = protected > middle if euclid else protected < middle
    assert np.mean(missed) < 1.25 * stats.norm.sf(z)


def test_the_policy_asks_for_what_a_certificate_does_not_cover() -> None:
    chain = (RotationSpec(), SPEC)
    assert not chain_faults(chain, "derived", rerank_off=False)
    assert not chain_faults(chain, "sealed", rerank_off=False, certified=False)
    (fault,) = chain_faults(chain, "sealed", rerank_off=False)
    assert "clips" in fault.text
    projected = chain_faults((RotationSpec(), TruncateSpec(dims=8), SPEC), "sealed", rerank_off=False, certified=False)
    assert any("length" in fault.text for fault in projected)
