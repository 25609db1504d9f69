"""All defences, and the peers that are installed, on the same vectors: leakage, search quality and cost.

It is the audit lab (docs/audit.md) over a list instead of one policy, so every figure has the same meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.peers import Permutation, peers
from vecguard.audit.data import QUICK, Sizes, texts_of_folder, texts_of_notes
from vecguard.audit.defence import Defence, parse_defence
from vecguard.audit.embedders import CachedEmbedder
from vecguard.audit.inverters import trainer
from vecguard.audit.outcome import Audit
from vecguard.audit.run import Plan, run_audit
from vecguard.audit.scene import Tell, embed_texts
from vecguard.registry import TRANSFORMS

# Every mechanism at strengths that leave about as much of search as the Gaussian one of ratio 1 and 2.
LINES: Final = (
    "rotation",
    "rotation+gaussian:ratio=0.5",
    "rotation+gaussian:ratio=1",
    "rotation+gaussian:ratio=2",
    "rotation+gaussian:ratio=4",
    "cells:count=16+rotation+gaussian:ratio=1",
    "rotation+analytic-gaussian:epsilon=955.0",
    "rotation+laplace:epsilon=384.0",
    "rotation+scale-and-perturb:approximation_factor=4.0",
    "rotation+purkayastha:epsilon=384.0",
    "rotation+von-mises-fisher:epsilon=384.0",
    "johnson-lindenstrauss:dims=128",
    "rotation+truncate:dims=128",
    "rotation+int8",
    "rotation+binary",
)
QUICK_LINES: Final = ("rotation", "rotation+gaussian:ratio=1", "rotation+gaussian:ratio=2")
ATTACKS: Final = ("inversion", "alignment", "linkage", "permutation", "unsupervised", "membership")
QUICK_ATTACKS: Final = ("inversion", "alignment", "linkage", "permutation", "membership")


def listed(quick: bool) -> list[Defence]:
    """The defences of a run: those of the policy that this build has, the permutation, and the peers."""
    lines = QUICK_LINES if quick else LINES
    known = [line for line in lines if all(part.partition(":")[0] in TRANSFORMS.kinds for part in line.split("+"))]
    return [*(parse_defence(line) for line in known), Permutation(), *peers()]


def compare(data: Path | None, cache: Path, quick: bool, seed: int, tell: Tell) -> Audit:
    """Run the attacks against all of them.

    Raises:
        ConfigError: the data set cannot be read.
    """
    sizes = QUICK if quick else Sizes()
    texts = texts_of_notes(sizes, seed) if data is None else texts_of_folder(data, sizes, seed)
    # The packaged inverters are for `audit run`: here every defence meets the same that train on the attacker's texts.
    scene = embed_texts(texts, CachedEmbedder("minilm", cache), "minilm", seed, trainer(), tell)
    names: Sequence[str] = QUICK_ATTACKS if quick else ATTACKS
    return run_audit(scene, Plan(tuple(names), tuple(listed(quick)), risks=False), tell)
