"""Vector rules, one a defence, that are run end to end through both fronts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vecguard.metric import normalize
from vecguard.transform import learned, pca

DIMS = 64
COUNT = 300
FIXED = "recover: sealed, rerank: {candidates: 200}"

# Name of the rule -> its YAML.
RULES = {
    "analytic": "{transforms: [{kind: rotation}, {kind: analytic-gaussian, epsilon: 200}]}",
    "laplace": "{transforms: [{kind: rotation}, {kind: laplace, epsilon: 64}]}",
    "ball": "{transforms: [{kind: rotation}, {kind: scale-and-perturb}]}",
    "purkayastha": "{transforms: [{kind: rotation}, {kind: purkayastha, epsilon: 64}], recover: sealed}",
    "mises": "{transforms: [{kind: rotation}, {kind: von-mises-fisher, epsilon: 90}], recover: sealed}",
    "cells": "{transforms: [{kind: cells, count: 4}, {kind: rotation}, {kind: gaussian}]}",
    "pca": "{transforms: [{kind: pca, dims: 24, file: pca.vga, sha256: SHA}, {kind: rotation}], FIXED}",
    "noisypca": "{transforms: [{kind: pca, dims: 32, file: pca.vga, sha256: SHA}, {kind: rotation}, {kind: gaussian,"
    " ratio: 0.3}], FIXED}",
    "subspace": "{transforms: [{kind: rotation}, {kind: truncate, dims: 40}], FIXED}",
    "random": "{transforms: [{kind: johnson-lindenstrauss, dims: 48}], FIXED}",
    "sparse": "{transforms: [{kind: johnson-lindenstrauss, dims: 48, form: sparse}, {kind: int8}], FIXED}",
    "binary": "{transforms: [{kind: rotation}, {kind: binary}], FIXED}",
    "learned": "{transforms: [{kind: learned, dims: 32, file: net.vga, sha256: NET}, {kind: rotation}, {kind: gaussian,"
    " ratio: 0.3}], FIXED}",
    "clipped": "{transforms: [{kind: rotation}, {kind: analytic-gaussian, epsilon: 400, clip: 1.5}]}",
    "kept": "{transforms: [{kind: rotation}, {kind: analytic-gaussian, epsilon: 800, clip: 1.5}], FIXED}",
}


def policy(folder: Path) -> str:
    """The policy of all rules; the artefact that it names is written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mean, axes = pca.fit(clustered(900, seed=2), 32)
    digests = {"SHA": pca.save(folder / "pca.vga", mean, axes)}
    digests["NET"] = learned.save(folder / "net.vga", ((axes, -axes @ mean),), None)
    rules = {name: rule.replace("FIXED", FIXED) for name, rule in RULES.items()}
    for word, digest in digests.items():
        rules = {name: rule.replace(word, digest) for name, rule in rules.items()}
    entries = [f"  - {{match: '{name}*', vectors: [{rule}]}}\n" for name, rule in rules.items()]
    return "version: 1\naccess: {anonymous: [read, write, admin]}\ncollections:\n" + "".join(entries)


def clustered(count: int = COUNT, dims: int = DIMS, seed: int = 0) -> np.ndarray:
    """Unit vectors with neighbours, `(count, dims)` float32."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dims + 1) ** -0.5
    centres = rng.normal(size=(count // 10, dims)) * spectrum
    return normalize(
        (centres[rng.integers(len(centres), size=count)] + 0.6 * rng.normal(size=(count, dims)) * spectrum).astype(
            np.float32
        )
    )
