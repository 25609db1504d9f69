"""Every sampler draws from its density, is fixed by key and nonce, and has the strength that the policy is told."""

import math
from types import SimpleNamespace as Spec

import numpy as np
import pytest
from scipy import special, stats

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.metric import normalize
from vecguard.registry import TRANSFORMS
from vecguard.rerank import Certificate, euclid_scale
from vecguard.transform import strength
from vecguard.transform.accounting import gaussian_delta
from vecguard.transform.quantile import QuantileTable, uniforms

KEY = Key(bytes(range(32)))
N = 4_000
# A test of a true sampler fails this rarely; inputs are fixed, so it either always passes or never.
LEAST_P = 1e-3

ADDITIVE = [
    Spec(kind="analytic-gaussian", epsilon=900.0, delta=1e-6, clip=None),
    Spec(kind="laplace", epsilon=300.0),
    Spec(kind="scale-and-perturb", approximation_factor=5.0),
]
DIRECTIONAL = [Spec(kind="purkayastha", epsilon=300.0), Spec(kind="von-mises-fisher", epsilon=500.0)]


def nonces(n: int = N) -> np.ndarray:
    return np.frombuffer(b"".join(i.to_bytes(12, "big") for i in range(n)), np.uint8).reshape(n, 12)


def built(spec, dims: int):
    return TRANSFORMS.load(spec.kind)(spec, dims, KEY.derive)


def unit(dims: int) -> np.ndarray:
    return normalize(np.random.default_rng(5).normal(size=(1, dims)).astype(np.float32))


def added(spec, dims: int, n: int = N) -> np.ndarray:
    """What a mechanism does to one unit vector, n times: (n, dims) float64."""
    step = built(spec, dims)
    if hasattr(step, "sample"):
        return step.sample(nonces(n)).astype(float)
    return step.turn(np.tile(unit(dims), (n, 1)), nonces(n)).astype(float) - unit(dims)


def fits(sample: np.ndarray, cdf) -> bool:
    return stats.kstest(sample, cdf).pvalue > LEAST_P


def angle_cdf(log_density, dims: int):
    """The distribution of an angle by adaptive-grid integration in scipy's terms, apart from the package's table."""
    grid = np.linspace(1e-9, math.pi - 1e-9, 200_001)
    log = log_density(grid) + (dims - 2) * np.log(np.sin(grid))
    density = np.exp(log - log.max())
    total = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return lambda angle: np.interp(angle, grid, total / total[-1])


class TestLengths:
    @pytest.mark.parametrize("dims", [1, 3, 384])
    def test_laplace_lengths_are_gamma(self, dims: int) -> None:
        lengths = np.linalg.norm(added(Spec(kind="laplace", epsilon=300.0), dims), axis=1)
        assert fits(lengths, stats.gamma(dims, scale=1 / 300).cdf)

    @pytest.mark.parametrize("dims", [2, 384])
    def test_ball_lengths_are_those_of_a_uniform_draw(self, dims: int) -> None:
        lengths = np.linalg.norm(added(Spec(kind="scale-and-perturb", approximation_factor=5.0), dims), axis=1)
        assert fits((lengths / 1.25) ** dims, stats.uniform.cdf)

    @pytest.mark.parametrize("dims", [3, 384])
    def test_analytic_gaussian_coordinates_are_normal(self, dims: int) -> None:
        spec = Spec(kind="analytic-gaussian", epsilon=2.0, delta=1e-5, clip=None)
        noise = added(spec, dims)
        assert fits(noise[:, 0] / strength.analytic_gaussian_sigma(2.0, 1e-5), stats.norm.cdf)
        assert fits(np.sum(noise**2, axis=1) / strength.analytic_gaussian_sigma(2.0, 1e-5) ** 2, stats.chi2(dims).cdf)


class TestAngles:
    @pytest.mark.parametrize(("dims", "epsilon"), [(3, 0.5), (3, 20.0), (24, 5.0), (384, 300.0)])
    def test_purkayastha_angles(self, dims: int, epsilon: float) -> None:
        assert fits(self.angles("purkayastha", dims, epsilon), angle_cdf(lambda t: -epsilon * t, dims))

    @pytest.mark.parametrize(("dims", "epsilon"), [(3, 0.5), (3, 20.0), (24, 5.0), (384, 500.0)])
    def test_von_mises_fisher_angles(self, dims: int, epsilon: float) -> None:
        assert fits(self.angles("von-mises-fisher", dims, epsilon), angle_cdf(lambda t: epsilon * np.cos(t), dims))

    def test_von_mises_fisher_is_that_of_scipy(self) -> None:
        """scipy draws by Wood's rejection."""
        theirs = stats.vonmises_fisher(unit(24)[0].astype(float), 40.0, seed=1).rvs(N) @ unit(24)[0]
        ours = np.cos(self.angles("von-mises-fisher", 24, 40.0))
        assert stats.ks_2samp(theirs, ours).pvalue > LEAST_P

    def test_von_mises_fisher_resultant_is_the_ratio_of_bessel_functions(self) -> None:
        step = built(Spec(kind="von-mises-fisher", epsilon=40.0), 24)
        assert step.resultant == pytest.approx(special.ive(12, 40.0) / special.ive(11, 40.0), rel=1e-6)

    @staticmethod
    def angles(kind: str, dims: int, epsilon: float) -> np.ndarray:
        y = added(Spec(kind=kind, epsilon=epsilon), dims) + unit(dims)
        return np.arccos(np.clip(y @ unit(dims)[0] / np.linalg.norm(y, axis=1), -1, 1))


@pytest.mark.parametrize("spec", ADDITIVE + DIRECTIONAL, ids=lambda spec: spec.kind)
class TestEvery:
    def test_the_direction_is_uniform_around_the_record(self, spec) -> None:
        dims = 24
        noise, x = added(spec, dims), unit(dims)[0]
        noise -= np.outer(noise @ x, x)
        other = np.eye(dims)[0] - x[0] * x
        cosines = noise @ (other / np.linalg.norm(other)) / np.linalg.norm(noise, axis=1)
        # A coordinate of a uniform direction in the d - 1 dimensions across x: its square is Beta(1/2, (d - 2)/2).
        assert fits(cosines**2, stats.beta(0.5, (dims - 2) / 2).cdf)
        assert abs(np.mean(np.sign(cosines))) < 4 / math.sqrt(N)

    @pytest.mark.parametrize("dims", [48, 384])
    def test_the_ratio_is_the_length_of_what_is_added(self, spec, dims: int) -> None:
        step, noise = built(spec, dims), added(spec, dims)
        assert math.sqrt(np.mean(np.sum(noise**2, axis=1))) == pytest.approx(step.ratio, rel=0.02)
        assert np.linalg.norm(noise.mean(axis=0)) < 5 * step.ratio / math.sqrt(N)

    def test_the_same_nonce_gives_the_same_and_another_key_another(self, spec) -> None:
        np.testing.assert_array_equal(added(spec, 24, 9)[:5], added(spec, 24, 5))
        other = TRANSFORMS.load(spec.kind)(spec, 24, lambda purpose: Key(bytes(32)).derive(purpose))
        ours = built(spec, 24)
        x = np.tile(unit(24), (5, 1))
        sets = [s.sample(nonces(5)) if hasattr(s, "sample") else s.turn(x, nonces(5)) for s in (ours, other)]
        assert not np.isclose(*sets).all(axis=1).any()

    @pytest.mark.parametrize("similarity", [0.1, 0.6, 0.9])
    @pytest.mark.parametrize("distance", ["cosine", "dot", "euclid"])
    def test_the_certificate_of_gaussian_noise_holds_for_it(self, spec, similarity: float, distance: str) -> None:
        """An answer at the bound is missed with a probability of at most Phi(-z), to within its first order."""
        dims, z = 384, 1.5
        step, x = built(spec, dims), unit(dims)[0].astype(float)
        across = np.eye(dims)[0] - x[0] * x
        query = similarity * x + math.sqrt(1 - similarity**2) * across / np.linalg.norm(across)
        y, scale = added(spec, dims, 8_000) + x, euclid_scale(step.ratio) if distance == "euclid" else 1.0
        if distance == "cosine":
            y /= np.linalg.norm(y, axis=1, keepdims=True)
        exact = math.sqrt(2 - 2 * similarity) if distance == "euclid" else similarity
        protected = np.linalg.norm(y / scale - query, axis=1) if distance == "euclid" else y @ query
        certificate = Certificate.of(query, distance, step.ratio, z, stored_scale=scale, spread=step.spread)
        nearer, farther = (0.0, 10.0) if distance == "euclid" else (3.0, -3.0)
        for _ in range(50):
            middle = (nearer + farther) / 2
            settled = certificate.settled(exact, middle, 1.0)
            nearer, farther = (nearer, middle) if settled else (middle, farther)
        missed = protected > middle if distance == "euclid" else protected < middle
        assert np.mean(missed) < 1.25 * stats.norm.sf(z)

    def test_it_says_what_it_claims_and_against_whom(self, spec) -> None:
        text = " ".join(built(spec, 384).describe())
        assert "(A" in text
        assert "keyed" in text.lower()
        if spec.kind == "analytic-gaussian":
            assert "(900, 1e-06)-differentially private" in text
        else:
            assert "metric-private" in text or "not differential privacy" in text


def test_known_answers(known) -> None:
    file = known("noises")
    x, key = np.array([file["x"]], np.float32), Key(bytes.fromhex(file["key"]))
    for case in file["cases"]:
        step = TRANSFORMS.load(case["kind"])(Spec(**{"clip": None, **case}), case["dims"], lambda purpose: key)
        nonce = np.frombuffer(bytes.fromhex(case["nonce"]), np.uint8)[np.newaxis]
        ours = step.turn(x, nonce) * step.resultant if "turned" in case else step.sample(nonce)
        np.testing.assert_allclose(ours[0], case.get("turned") or case["noise"], atol=3e-6)


def test_the_analytic_gaussian_mechanism_spends_what_it_says() -> None:
    sigma = strength.analytic_gaussian_sigma(3.0, 1e-5)
    assert gaussian_delta(2 * (1 + strength.UNIT_TOLERANCE) / sigma, 3.0) <= 1e-5
    assert gaussian_delta(2 * (1 + strength.UNIT_TOLERANCE) / (0.999 * sigma), 3.0) > 1e-5


def test_metric_privacy_of_laplace_noise_holds_along_a_line() -> None:
    """The density ratio of outputs of two vectors is within e^(epsilon t), so is that of any set's probability."""
    x, epsilon, shift = added(Spec(kind="laplace", epsilon=4.0), 3, 60_000), 4.0, 0.2
    share = np.mean(np.linalg.norm(x, axis=1) < 0.5)
    moved = np.mean(np.linalg.norm(x + np.array([shift, 0, 0]), axis=1) < 0.5)
    assert math.exp(-epsilon * shift) < moved / share < math.exp(epsilon * shift)


@pytest.mark.parametrize("kind", ["purkayastha", "von-mises-fisher"])
def test_a_direction_needs_three_dimensions(kind: str) -> None:
    with pytest.raises(InvalidArgument, match="at least 3"):
        built(Spec(kind=kind, epsilon=1.0), 2)


def test_a_strength_in_the_policys_terms_is_that_of_the_step() -> None:
    """`strength` is to first order for directions; the table has it exactly."""
    assert strength.purkayastha_ratio(300.0, 384) == pytest.approx(built(DIRECTIONAL[0], 384).ratio, rel=0.01)
    assert strength.von_mises_fisher_ratio(500.0, 384) == pytest.approx(built(DIRECTIONAL[1], 384).ratio, rel=0.01)


def test_uniform_numbers_are_uniform_and_never_the_ends() -> None:
    u = uniforms(KEY, nonces(20_000))
    assert fits(u, stats.uniform.cdf)
    assert 0 < u.min() < u.max() < 1


def test_a_table_is_the_quantile_function() -> None:
    table = QuantileTable(lambda x: -(x**2) / 2, 0.0, -50.0, 50.0)
    u = np.array([1e-12, 0.01, 0.5, 0.9, 1 - 1e-9])
    np.testing.assert_allclose(table(u), stats.norm.ppf(u), atol=2e-3)
    assert table.mean(np.square) == pytest.approx(1.0, rel=1e-5)
