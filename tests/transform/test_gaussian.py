"""The noise has the promised strength, is fixed by key and nonce, and its effect on scores is as computed."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from vecguard.errors import ConfigError
from vecguard.keys.key import Key
from vecguard.transform.gaussian import GaussianNoise, build, information_bound, score_deviation

KEY = Key(bytes(range(32)))


def nonces(n: int) -> np.ndarray:
    return np.frombuffer(b"".join(i.to_bytes(12, "big") for i in range(n)), np.uint8).reshape(n, 12)


@pytest.mark.parametrize("dims", [2, 384, 1536])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 2.5])
def test_the_norm_of_the_noise_is_the_ratio(dims: int, ratio: float) -> None:
    n = 2000
    squares = np.sum(GaussianNoise(KEY, dims, ratio).sample(nonces(n)).astype(float) ** 2, axis=1)
    # ‖n‖²/ratio² is chi-squared with dims degrees of freedom over dims: variance 2/dims.
    assert abs(squares.mean() / ratio**2 - 1) < 4 * math.sqrt(2 / dims / n)


def test_the_same_nonce_gives_the_same_noise_and_another_key_another() -> None:
    noise = GaussianNoise(KEY, 384, 1.0)
    np.testing.assert_array_equal(noise.sample(nonces(5)), noise.sample(nonces(9))[:5])
    other = GaussianNoise(Key(bytes(32)), 384, 1.0).sample(nonces(5))
    assert abs(np.corrcoef(noise.sample(nonces(5)).ravel(), other.ravel())[0, 1]) < 0.1


def test_ratio_zero_adds_nothing() -> None:
    assert not GaussianNoise(KEY, 8, 0).sample(nonces(3)).any()


@pytest.mark.parametrize("ratio", [-0.1, math.nan, math.inf])
def test_bad_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(ConfigError):
        GaussianNoise(KEY, 8, ratio)


def test_the_score_deviation_is_what_is_measured() -> None:
    dims, n, ratio, scale = 384, 5000, 1.5, 3.0
    query = np.random.default_rng(1).standard_normal(dims)
    scores = scale * GaussianNoise(KEY, dims, ratio).sample(nonces(n)).astype(float) @ query
    expected = float(score_deviation(ratio, dims, scale, np.linalg.norm(query)))
    assert abs(scores.std() / expected - 1) < 4 / math.sqrt(2 * n)


def test_the_score_deviation_broadcasts() -> None:
    deviation = score_deviation(1.0, 4, np.array([1.0, 2.0], np.float32), np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(deviation, [[0.5, 1.0], [1.5, 3.0]])


def test_the_information_bound_is_the_gaussian_channel() -> None:
    assert information_bound(1.0, 384) == pytest.approx(192.0)
    assert information_bound(2.0, 384) < information_bound(1.0, 384) < information_bound(0.5, 384)
    assert information_bound(0, 384) == math.inf


def test_build_takes_the_key_for_its_own_purpose() -> None:
    purposes = []

    def subkey(purpose: str) -> Key:
        purposes.append(purpose)
        return KEY

    noise = build(SimpleNamespace(kind="gaussian", ratio=0.5), 16, subkey)
    assert purposes == ["gaussian"]
    assert noise.ratio == 0.5
    np.testing.assert_array_equal(noise.sample(nonces(2)), GaussianNoise(KEY, 16, 0.5).sample(nonces(2)))


def test_the_description_claims_no_differential_privacy_and_admits_linkage() -> None:
    sentences = " ".join(GaussianNoise(KEY, 384, 1.0).describe())
    assert "192 bits" in sentences
    assert "not differential privacy" in sentences
    assert "does not stop linkage" in sentences
    assert "hides nothing" in " ".join(GaussianNoise(KEY, 384, 0).describe())
