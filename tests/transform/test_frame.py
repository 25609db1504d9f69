"""In the scoring frame scores and sketches are those of the exact vectors; an isometric chain has one of its own."""

from types import SimpleNamespace

import numpy as np
import pytest

from vecguard.keys.key import Key
from vecguard.transform.chain import Chain, compile_chain
from vecguard.transform.frame import exact_frame, scoring_frame
from vecguard.transform.gaussian import GaussianNoise

MASTER = Key(bytes(range(32)))
ROTATION = SimpleNamespace(kind="rotation")
GAUSSIAN = SimpleNamespace(kind="gaussian", ratio=1.0)


def records(n: int, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    x = generator.standard_normal((n, dims)).astype(np.float32)
    return x, np.linalg.norm(x, axis=1), generator.integers(0, 256, (n, 12), dtype=np.uint8)


@pytest.mark.parametrize("specs", [[], [ROTATION], [GAUSSIAN], [ROTATION, GAUSSIAN]])
@pytest.mark.parametrize("dims", [1, 96, 1536])
def test_scores_and_sketches_are_the_same_in_both_frames(specs: list, dims: int) -> None:
    x, scale, nonces = records(10, dims)
    sketch = np.random.default_rng(4).standard_normal((dims, 8)).astype(np.float32)
    chain = compile_chain(specs, dims, MASTER.derive)
    stored = chain.forward(x, scale, nonces)
    kept = stored.copy()
    exact, scoring = exact_frame(chain, sketch), scoring_frame(chain, sketch)
    back, rotated = exact.reach(stored, scale, nonces), scoring.reach(stored, scale, nonces)
    tolerance = 1e-5 * float(scale.max()) ** 2 + 1e-5
    np.testing.assert_allclose(back, x, atol=tolerance)
    np.testing.assert_allclose(rotated @ chain.query(x[:3]).T, x @ x[:3].T, atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=1), scale, rtol=1e-5)
    np.testing.assert_allclose(rotated @ scoring.sketch, x @ exact.sketch, atol=tolerance)
    np.testing.assert_array_equal(stored, kept)
    assert chain.isometric
    assert (np.abs(rotated - x).max() > 0.1) == (ROTATION in specs and dims > 1)


class Doubled:
    """Keeps directions but not lengths."""

    dims_in, dims_out, invertible, isometric = 8, 8, True, False

    def apply(self, x: np.ndarray) -> np.ndarray:
        return 2 * x

    def query(self, q: np.ndarray) -> np.ndarray:
        return q / 2

    def invert(self, y: np.ndarray) -> np.ndarray:
        return y / 2

    def describe(self) -> list[str]:
        return ["doubled"]


def test_what_is_no_isometry_is_opened_exactly() -> None:
    x, scale, nonces = records(5, 8)
    sketch = np.eye(8, dtype=np.float32)
    chain = Chain([Doubled()], GaussianNoise(MASTER, 8, 1.0), 8)
    assert not chain.isometric
    scoring = scoring_frame(chain, sketch)
    np.testing.assert_allclose(scoring.reach(chain.forward(x, scale, nonces), scale, nonces), x, atol=1e-5)
    np.testing.assert_array_equal(scoring.sketch, sketch)
