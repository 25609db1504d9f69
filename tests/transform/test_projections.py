"""Projections and rounding follow their formulas, keep what they promise, and name what they are not made for."""

import hashlib
import math
from pathlib import Path
from types import SimpleNamespace as Spec

import numpy as np
import pytest
from scipy import stats
from transform_cases import clustered

from vecguard.errors import ConfigError, InvalidArgument
from vecguard.keys.key import Key
from vecguard.policy.transforms import JohnsonLindenstraussSpec, LearnedSpec, PcaSpec, RotationSpec, TruncateSpec
from vecguard.registry import TRANSFORMS
from vecguard.transform import learned, pca
from vecguard.transform.artefact import read_artefact, write_artefact
from vecguard.transform.chain import stored_dims
from vecguard.transform.johnson_lindenstrauss import gaussian_rows, sparse_rows

KEY = Key(bytes(range(32)))


def built(over: int, /, **spec):
    return TRANSFORMS.load(spec["kind"])(Spec(**spec), over, lambda purpose: KEY)


def test_known_answers(known, tmp_path: Path) -> None:
    file = known("projections")
    x = np.array([file["x"]], np.float32)
    for form, y in file["johnson-lindenstrauss"].items():
        np.testing.assert_allclose(built(12, kind="johnson-lindenstrauss", dims=5, form=form).apply(x)[0], y, atol=1e-6)
    np.testing.assert_allclose(built(12, kind="truncate", dims=5).apply(x)[0], file["truncate"], atol=1e-6)
    for kind, y in file["rounded"].items():
        np.testing.assert_allclose(built(12, kind=kind).round(x)[0], y, atol=1e-6)
    (tmp_path / "a").write_bytes(bytes.fromhex(file["pca"]["artefact"]))
    step = built(3, kind="pca", dims=2, file=str(tmp_path / "a"), sha256=file["pca"]["sha256"])
    np.testing.assert_allclose(step.apply(np.array([file["pca"]["x"]], np.float32))[0], file["pca"]["y"], atol=1e-6)
    trained = file["learned"]
    (tmp_path / "n").write_bytes(bytes.fromhex(trained["artefact"]))
    step = built(3, kind="learned", dims=2, file=str(tmp_path / "n"), sha256=trained["sha256"])
    np.testing.assert_allclose(step.apply(np.array([trained["x"]], np.float32))[0], trained["y"], atol=1e-6)
    spec = LearnedSpec(dims=2, file=str(tmp_path / "n"), sha256=trained["sha256"])
    assert learned.save(tmp_path / "m", learned.read_named(spec), learned.read_privacy(spec)) == trained["sha256"]
    arrays = read_artefact(tmp_path / "a", file["pca"]["sha256"], "pca")
    assert write_artefact(tmp_path / "b", "pca", arrays) == file["pca"]["sha256"]


class TestRandom:
    def test_entries_have_their_distributions(self) -> None:
        assert stats.kstest(gaussian_rows(KEY, 40, 100).ravel(), stats.norm.cdf).pvalue > 1e-3
        counts = np.unique(np.sign(sparse_rows(KEY, 60, 100)), return_counts=True)[1]
        assert stats.chisquare(counts, [1000, 4000, 1000]).pvalue > 1e-3

    @pytest.mark.parametrize("form", ["gaussian", "sparse"])
    def test_lengths_and_dot_products_are_kept_on_average(self, form: str) -> None:
        x = clustered(200, 384)
        y = built(384, kind="johnson-lindenstrauss", dims=128, form=form).apply(x)
        ratios = np.sum(y**2, axis=1)
        assert abs(ratios.mean() - 1) < 0.1
        assert ratios.std() < 2 * math.sqrt(2 / 128)
        assert np.corrcoef((y @ y.T).ravel(), (x @ x.T).ravel())[0, 1] > 0.9


class TestPca:
    def test_axes_are_those_of_the_sample_and_the_file_is_the_same_every_time(self, tmp_path: Path) -> None:
        x = clustered(500, 32)
        mean, axes = pca.fit(x, 8)
        np.testing.assert_allclose(axes @ axes.T, np.eye(8), atol=1e-5)
        _, _, expected = np.linalg.svd(x.astype(np.float64) - x.mean(axis=0), full_matrices=False)
        np.testing.assert_allclose(np.abs(np.vecdot(axes, expected[:8])), 1, atol=1e-4)
        assert pca.save(tmp_path / "a", mean, axes) == pca.save(tmp_path / "b", *pca.fit(x, 8))

    @pytest.mark.parametrize(
        ("sample", "components", "words"),
        [
            (np.zeros((10, 32), np.float32), 8, "give 32 or more"),
            (np.zeros((500, 32), np.float32), 33, "name 1 to 32"),
            (np.full((500, 32), np.nan, np.float32), 3, "not finite"),
        ],
    )
    def test_a_sample_that_cannot_be_fitted_is_refused(self, sample: np.ndarray, components: int, words: str) -> None:
        with pytest.raises(InvalidArgument, match=words):
            pca.fit(sample, components)

    def test_a_file_that_is_not_the_one_named_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "pca.vga"
        digest = pca.save(path, *pca.fit(clustered(500, 32), 8))
        spec = {"kind": "pca", "dims": 8, "file": str(path), "sha256": digest}
        x = clustered(30, 32)
        assert built(32, **spec).apply(x).shape == (30, 8)
        for bad, error, words in (
            ({"sha256": "0" * 64}, ConfigError, "has SHA-256"),
            ({"file": str(tmp_path / "none")}, ConfigError, "cannot be read"),
            ({"file": ""}, ConfigError, "names no file"),
            ({"dims": 9}, ConfigError, "has 8 components"),
        ):
            with pytest.raises(error, match=words):
                built(32, **(spec | bad)).apply(x)
        with pytest.raises(InvalidArgument, match="fitted to vectors of 32"):
            built(33, **spec).apply(np.zeros((1, 33), np.float32))
        path.write_bytes(path.read_bytes() + b"\0")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(ConfigError, match="no artefact"):
            built(32, **(spec | {"sha256": digest})).apply(x)

    def test_a_file_may_move_and_may_not_change(self) -> None:
        spec = PcaSpec(dims=8, file="/a", sha256="0" * 64)
        assert spec == PcaSpec(dims=8, file="/b", sha256="0" * 64)
        assert spec != PcaSpec(dims=8, file="/a", sha256="1" * 64)
        assert "file" not in spec.model_dump()


class TestTruncation:
    def test_first_dimensions_at_the_vectors_length(self) -> None:
        x = np.array([[3, 4, 12, 0], [0, 0, 5, 0]], np.float32)
        y = built(4, kind="truncate", dims=2).apply(x)
        np.testing.assert_allclose(y, [[7.8, 10.4], [0, 0]], rtol=1e-6)


class TestRounding:
    def test_int8_is_a_grid_of_255_values(self) -> None:
        x = clustered(30, 64)
        y = built(64, kind="int8").round(x)
        step = np.abs(x).max(axis=1, keepdims=True) / 127
        assert np.abs(y - x).max() <= step.max() / 2 * 1.001
        assert np.abs(y / step - np.rint(y / step)).max() < 1e-3
        np.testing.assert_array_equal(built(64, kind="int8").round(np.zeros((1, 4), np.float32)), np.zeros((1, 4)))

    def test_binary_keeps_signs_and_its_error_is_that_of_noise_of_ratio_three_quarters(self) -> None:
        rotated = TRANSFORMS.load("rotation")(Spec(kind="rotation"), 384, lambda purpose: KEY).apply(
            clustered(300, 384)
        )
        y = built(384, kind="binary").round(rotated)
        assert (np.sign(y) == np.sign(rotated)).all()
        error = y * math.pi / 2 - rotated  # unbiased as to a dot product
        assert np.sqrt(np.mean(np.sum(error**2, axis=1))) == pytest.approx(math.sqrt(math.pi / 2 - 1), rel=0.03)


def test_dimensions_at_rest_are_known_before_anything_is_made() -> None:
    assert stored_dims([RotationSpec(), TruncateSpec(dims=40)], 64) == 40
    assert stored_dims([JohnsonLindenstraussSpec(dims=8)], 64) == 8
    with pytest.raises(InvalidArgument, match="this vector has 32"):
        stored_dims([TruncateSpec(dims=40)], 32)
    with pytest.raises(InvalidArgument, match="cannot be rotated"):
        stored_dims([RotationSpec()], 5003)


@pytest.mark.parametrize("spec", [
    {"kind": "pca", "dims": 4, "file": "", "sha256": ""}, {"kind": "truncate", "dims": 4}, {"kind": "int8"},
    {"kind": "johnson-lindenstrauss", "dims": 4, "form": "sparse"}, {"kind": "binary"},
])  # fmt: skip
def test_each_says_what_it_does_not_hide(spec) -> None:
    text = " ".join(built(16, **spec).describe())
    assert "encrypted" in text
    assert "hides" in text or "(A)" in text
