"""A learned projection follows its formula in numpy, is held to its file, and says how private its training was."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace as Spec

import numpy as np
import pytest
from transform_cases import clustered

from vecguard.errors import ConfigError, FailedPrecondition, InvalidArgument
from vecguard.keys.key import Key
from vecguard.policy.chain import chain_faults
from vecguard.policy.transforms import LearnedSpec, RotationSpec
from vecguard.registry import TRANSFORMS
from vecguard.transform.artefact import read_facts, write_artefact
from vecguard.transform.chain import stored_dims
from vecguard.transform.learned import Layers, Privacy, read_named, read_privacy, save

PRIVACY = Privacy(8.5, 7.9, 1e-5, 0.9, 1.0, 0.1, 300)
LINEAR: Layers = ((np.array([[1, 0, 2], [0, -1, 1]], np.float32), np.array([0.5, 0], np.float32)),)


def layers(hidden: int = 0, dims: int = 5, over: int = 12) -> Layers:
    random = np.random.default_rng(4)
    widths = [over, hidden, dims] if hidden else [over, dims]
    return tuple(
        (random.standard_normal((b, a)).astype(np.float32), random.standard_normal(b).astype(np.float32))
        for a, b in pairwise(widths)
    )


def built(file: Path, digest: str, dims: int = 5, over: int = 12):
    spec = Spec(kind="learned", dims=dims, file=str(file), sha256=digest)
    return TRANSFORMS.load("learned")(spec, over, lambda purpose: Key(bytes(32)))


def spec_of(file: Path, digest: str, dims: int = 5) -> LearnedSpec:
    return LearnedSpec(dims=dims, file=str(file), sha256=digest)


def test_known_answer(tmp_path: Path) -> None:
    """By hand: x = (0, 3, 4) has length 5; W x/5 + b = (2.1, 0.2), of length 2.1095."""
    step = built(tmp_path / "a", save(tmp_path / "a", LINEAR, None), 2, 3)
    (y,) = step.apply(np.array([[0, 3, 4]], np.float32))
    np.testing.assert_allclose(y, 5 * np.array([2.1, 0.2]) / np.hypot(2.1, 0.2), rtol=1e-6)


@pytest.mark.parametrize("hidden", [0, 7])
def test_it_follows_its_formula_and_keeps_lengths(tmp_path: Path, hidden: int) -> None:
    network = layers(hidden)
    step = built(tmp_path / "a", save(tmp_path / "a", network, PRIVACY))
    x = (clustered(20, 12) * np.linspace(0.1, 3, 20)[:, None]).astype(np.float32)
    f = x / np.linalg.norm(x, axis=1, keepdims=True)
    for place, (weights, bias) in enumerate(network):
        f = (np.maximum(f, 0) if place else f) @ weights.T + bias
    expected = f / np.linalg.norm(f, axis=1, keepdims=True) * np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(step.apply(x), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(step.query(x), step.apply(x))
    np.testing.assert_array_equal(step.apply(np.zeros((1, 12), np.float32)), np.zeros((1, 5)))
    with pytest.raises(FailedPrecondition):
        step.invert(expected)


def test_the_artefact_says_how_private_its_training_was(tmp_path: Path) -> None:
    private, plain = save(tmp_path / "a", layers(), PRIVACY), save(tmp_path / "b", layers(), None)
    assert private != plain
    assert read_privacy(spec_of(tmp_path / "a", private)) == PRIVACY
    assert read_privacy(spec_of(tmp_path / "b", plain)) is None
    assert read_facts(tmp_path / "b", plain, "learned") == {}
    digest = write_artefact(tmp_path / "c", "learned", {"weights 0": np.eye(5), "bias 0": np.zeros(5)}, {"steps": 3})
    with pytest.raises(ConfigError, match="how private"):
        read_privacy(spec_of(tmp_path / "c", digest))


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    digest = save(tmp_path / "a", layers(7), None)
    assert stored_dims([spec_of(tmp_path / "a", digest)], 12) == 5
    with pytest.raises(InvalidArgument, match="trained on vectors of 12"):
        stored_dims([spec_of(tmp_path / "a", digest)], 13)
    with pytest.raises(ConfigError, match="leaves 5 dimensions"):
        read_named(spec_of(tmp_path / "a", digest, dims=4))
    with pytest.raises(ConfigError, match="names no file"):
        read_named(LearnedSpec(dims=5, sha256=digest))
    other = write_artefact(tmp_path / "b", "learned", {"weights 0": np.eye(5)})
    with pytest.raises(ConfigError, match="one layer or two"):
        read_named(spec_of(tmp_path / "b", other))
    narrow = write_artefact(tmp_path / "c", "learned", {"weights 0": np.eye(5), "bias 0": np.zeros(4)})
    with pytest.raises(ConfigError, match="do not fit"):
        read_named(spec_of(tmp_path / "c", narrow))
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ConfigError, match="SHA-256"):
        read_named(spec_of(tmp_path / "a", digest))
    torn = (tmp_path / "a").read_bytes()[:-4]
    (tmp_path / "a").write_bytes(torn)
    with pytest.raises(ConfigError, match="no artefact"):
        read_named(spec_of(tmp_path / "a", hashlib.sha256(torn).hexdigest()))


def test_a_policy_needs_a_rotation_beside_it_and_candidates(tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "a", "0" * 64)
    assert not chain_faults((spec, RotationSpec()), "sealed", rerank_off=False, certified=False)
    assert any("hides the axes" in fault.text for fault in chain_faults((spec,), "none", rerank_off=True))
    assert any("cannot" in fault.text for fault in chain_faults((spec, RotationSpec()), "derived", rerank_off=False))
    assert spec == replace_file(spec, "elsewhere")
    assert spec != LearnedSpec(dims=5, sha256="1" * 64)


def replace_file(spec: LearnedSpec, file: str) -> LearnedSpec:
    return spec.model_copy(update={"file": file})


def test_privacy_is_a_plain_record() -> None:
    assert replace(PRIVACY, steps=5).steps == 5
