"""The chain stores R x + scale n, gives it back, rotates queries, and refuses what it cannot compile."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from vecguard.errors import ConfigError, FailedPrecondition, InvalidArgument
from vecguard.keys.key import Key
from vecguard.transform.chain import Chain, compile_chain
from vecguard.transform.gaussian import GaussianNoise
from vecguard.transform.rotation import Rotation

MASTER = Key(bytes(range(32)))
ROTATION = SimpleNamespace(kind="rotation")
GAUSSIAN = SimpleNamespace(kind="gaussian", ratio=1.0)


def subkey(purpose: str) -> Key:
    return MASTER.derive("transform", purpose)


def records(n: int, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    x = generator.standard_normal((n, dims)).astype(np.float32)
    return x, np.linalg.norm(x, axis=1), generator.integers(0, 256, (n, 12), dtype=np.uint8)


def test_what_is_stored_is_the_rotated_vector_plus_scaled_noise() -> None:
    x, scale, nonces = records(10, 96)
    expected = Rotation(subkey("rotation"), 96).apply(x)
    expected = expected + scale[:, None] * GaussianNoise(subkey("gaussian"), 96, 1.0).sample(nonces)
    chain = compile_chain([ROTATION, GAUSSIAN], 96, subkey)
    np.testing.assert_allclose(chain.forward(x, scale, nonces), expected, atol=1e-5)


@pytest.mark.parametrize("specs", [[], [ROTATION], [GAUSSIAN], [ROTATION, GAUSSIAN]])
@pytest.mark.parametrize("dims", [1, 96, 768, 1536])
def test_the_inverse_gives_the_vectors_back(specs: list, dims: int) -> None:
    x, scale, nonces = records(10, dims)
    kept = x.copy()
    chain = compile_chain(specs, dims, subkey)
    y = chain.forward(x, scale, nonces)
    stored = y.copy()
    back = chain.inverse(y, scale, nonces)
    assert (chain.dims_in, chain.dims_out, chain.invertible) == (dims, dims, True)
    assert y.dtype == back.dtype == np.float32
    assert np.abs(back - x).max() < 2e-6 * scale.max()
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(y, stored)


def test_the_wrong_nonce_scale_or_key_does_not_give_the_vectors_back() -> None:
    x, scale, nonces = records(10, 384)
    chain = compile_chain([ROTATION, GAUSSIAN], 384, subkey)
    other = compile_chain([ROTATION, GAUSSIAN], 384, lambda purpose: MASTER.derive("other", purpose))
    y = chain.forward(x, scale, nonces)
    wrong = [
        chain.inverse(y, scale, nonces[::-1]),
        chain.inverse(y, 2 * scale, nonces),
        other.inverse(y, scale, nonces),
    ]
    for back in wrong:
        assert np.linalg.norm(back - x, axis=1).min() > 0.5 * scale.min()


def test_queries_are_rotated_and_not_noised() -> None:
    x, _, _ = records(4, 96)
    chain = compile_chain([ROTATION, GAUSSIAN], 96, subkey)
    np.testing.assert_allclose(chain.query(x), Rotation(subkey("rotation"), 96).apply(x), atol=1e-5)


def test_scores_are_off_by_the_stated_deviation() -> None:
    x, scale, nonces = records(2000, 96)
    chain = compile_chain([ROTATION, GAUSSIAN], 96, subkey)
    query = x[:1]
    error = chain.forward(x, scale, nonces) @ chain.query(query)[0] - x @ query[0]
    normalised = error / chain.score_deviation(scale, np.linalg.norm(query))
    assert abs(normalised.std() - 1) < 4 / math.sqrt(2 * 2000)


def test_the_ratio_is_zero_without_noise() -> None:
    assert compile_chain([ROTATION], 8, subkey).noise_ratio == 0
    assert compile_chain([ROTATION, SimpleNamespace(kind="gaussian", ratio=0)], 8, subkey).noise_ratio == 0
    assert compile_chain([ROTATION, GAUSSIAN], 8, subkey).noise_ratio == 1


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([SimpleNamespace(kind="shuffle")], "no transform 'shuffle'"),
        ([GAUSSIAN, ROTATION], "noise must be the last"),
        ([ROTATION, ROTATION], "once"),
        ([GAUSSIAN, GAUSSIAN], "once"),
        ([SimpleNamespace(kind="gaussian", ratio=-1.0)], "ratio"),
    ],
)
def test_bad_specs_are_refused(specs: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_chain(specs, 8, subkey)


def test_disagreeing_shapes_are_refused() -> None:
    """Above all one nonce for several records, which would broadcast to the same noise for all."""
    x, scale, nonces = records(5, 96)
    chain = compile_chain([ROTATION, GAUSSIAN], 96, subkey)
    bad = [(x, scale, nonces[:1]), (x, scale[:1], nonces), (x[:, :48], scale, nonces), (x[0], scale, nonces)]
    for arguments in [*bad, (x, scale, nonces[:, :8])]:
        for direction in (chain.forward, chain.inverse, chain.denoise):
            with pytest.raises(InvalidArgument):
                direction(*arguments)
    for query in (x[:, :48], x[0]):
        with pytest.raises(InvalidArgument):
            chain.query(query)


class FirstHalf:
    """Keeps the first half of the coordinates: a mapping that loses information."""

    dims_in, dims_out, invertible, isometric = 8, 4, False, False

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x[:, :4].copy()

    query = apply

    def describe(self) -> list[str]:
        return ["halved"]


def test_a_chain_that_loses_information_says_so_and_does_not_invert() -> None:
    x, scale, nonces = records(3, 8)
    chain = Chain([FirstHalf()], GaussianNoise(MASTER, 4, 1.0), 8)
    assert (chain.dims_out, chain.invertible, chain.isometric) == (4, False, False)
    assert chain.forward(x, scale, nonces).shape == (3, 4)
    with pytest.raises(FailedPrecondition):
        chain.inverse(x[:, :4], scale, nonces)


def test_the_description_covers_every_step() -> None:
    sentences = " ".join(compile_chain([ROTATION, GAUSSIAN], 96, subkey).describe())
    assert "Haar" in sentences
    assert "noise" in sentences
    assert compile_chain([], 96, subkey).describe() == ["Vectors are stored as they are."]
