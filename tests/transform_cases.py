"""Vector rules, one a defence, that are run end to end through both fronts."""

from __future__ import annotations

import numpy as np

from vecguard.metric import normalize

DIMS = 64
COUNT = 300

# Name of the rule -> its YAML.
RULES = {
    "analytic": "{transforms: [{kind: rotation}, {kind: analytic-gaussian, epsilon: 200}]}",
    "laplace": "{transforms: [{kind: rotation}, {kind: laplace, epsilon: 64}]}",
    "ball": "{transforms: [{kind: rotation}, {kind: scale-and-perturb}]}",
    "purkayastha": "{transforms: [{kind: rotation}, {kind: purkayastha, epsilon: 64}], recover: sealed}",
    "mises": "{transforms: [{kind: rotation}, {kind: von-mises-fisher, epsilon: 90}], recover: sealed}",
}

POLICY = "version: 1\naccess: {anonymous: [read, write, admin]}\ncollections:\n" + "".join(
    f"  - {{match: '{name}*', vectors: [{rule}]}}\n" for name, rule in RULES.items()
)


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
