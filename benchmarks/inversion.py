"""What the packaged text inverter recovers of clear embeddings, stage by stage: the figures of docs/inverter.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecguard.audit.inverter.generative import GenerativeInverter, Search
from vecguard.audit.metrics import bleu, each, exact_match, rouge_l, token_f1
from vecguard.audit.training.texts import read_texts
from vecguard.demo.embedder import MiniLM

# Texts that are inverted between two reports of progress.
TOGETHER = 50
# Of valid.jsonl in the order of seed 0: with the first 1,000 the packaged weights were chosen, with the next 100 the
# settings of the search, so they are not measured on.
VALIDATED = 1_100


@dataclass(frozen=True)
class Stage:
    """Scores of one stage, from 0 to 1: means over texts, and corpus BLEU-4; the cosine is of what was recovered."""

    name: str
    token_f1: float
    bleu: float
    rouge_l: float
    exact: float
    cosine: float


def sample_texts(file: Path, count: int, seed: int = 0, passed_over: int = VALIDATED) -> list[str]:
    """`count` texts of a JSON Lines file in an order drawn by `seed`, after the first `passed_over`."""
    texts = read_texts(file)
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[row] for row in order[passed_over : passed_over + count]]


def measure_inversion(
    texts: Sequence[str], search: Search, advance: Callable[[int], None] = lambda count: None
) -> list[Stage]:
    """Embeds `texts` with MiniLM, inverts the clear embeddings, and scores every stage."""
    embedder = MiniLM(1)
    inverter = GenerativeInverter.open(embed=embedder.embed, search=search)
    found: dict[str, list[str]] = {}
    targets = embedder.embed(texts)
    for start in range(0, len(texts), TOGETHER):
        part = targets[start : start + TOGETHER]
        for name, recovered in [("greedy", inverter.greedy(part)), *inverter.stages(part)]:
            found.setdefault(name, []).extend(recovered)
        advance(len(part))
    return [_scored(name, recovered, texts, targets, embedder) for name, recovered in found.items()]


def _scored(name: str, recovered: list[str], texts: Sequence[str], targets: np.ndarray, embedder: MiniLM) -> Stage:
    again = embedder.embed([text or "." for text in recovered])
    return Stage(
        name,
        float(each(token_f1, recovered, texts).mean()),
        bleu(recovered, texts),
        float(each(rouge_l, recovered, texts).mean()),
        float(each(exact_match, recovered, texts).mean()),
        float(np.einsum("nd,nd->n", again, targets).mean()),
    )
