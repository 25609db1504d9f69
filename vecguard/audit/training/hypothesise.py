"""What the base writes for training embeddings, and the embeddings of that: the corrector's training data.

Texts are drawn, not searched for: cheaper, and the corrector meets errors of many sizes. Work is done in parts that
are kept on disk, so that a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecguard.audit.inverter.beam import sample
from vecguard.audit.inverter.decoder import Decoder
from vecguard.audit.inverter.vocabulary import Vocabulary
from vecguard.audit.training.pairs import Hypotheses

Floats = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]

PART = 2048
TOGETHER = 64
HEAT = 0.5


def hypothesise(
    opened: Callable[[], tuple[Decoder, Vocabulary]],
    embed: Embed,
    embeddings: Floats,
    folder: Path,
    seed: int,
    report: Callable[[int], None],
) -> Hypotheses:
    """A hypothesis for every row of `embeddings`, float32 (n, dims).

    Args:
        opened: gives the base, asked anew for every part (so that a base that is still being trained may be used).
        embed: the embedder.
        embeddings: of the training texts.
        folder: where parts are kept; parts that are there are taken as they are.
        seed: of the draws.
        report: called after every part with the number of rows done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokens: list[Sequence[int]] = []
    found = np.empty_like(embeddings)
    for start in range(0, len(embeddings), PART):
        rows = embeddings[start : start + PART]
        part = folder / f"{start:08d}-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}.npz"
        if not part.exists():
            _write_part(part, opened, embed, rows, np.random.default_rng([seed, start]))
        with np.load(part, allow_pickle=False) as stored:
            tokens += json.loads(stored["tokens"].tobytes())
            found[start : start + len(rows)] = stored["embeddings"]
        report(len(tokens))
    return Hypotheses(tokens, found)


def _write_part(
    part: Path,
    opened: Callable[[], tuple[Decoder, Vocabulary]],
    embed: Embed,
    rows: Floats,
    chance: np.random.Generator,
) -> None:
    decoder, vocabulary = opened()
    drafts = []
    for start in range(0, len(rows), TOGETHER):
        writing = decoder.begin(rows[start : start + TOGETHER])
        drafts += sample(decoder, writing, decoder.shape.length - 1, chance, HEAT)
    # The embedder has no vector for nothing.
    texts = [text or "." for text in vocabulary.decode([draft.tokens for draft in drafts])]
    packed = np.frombuffer(json.dumps([draft.tokens for draft in drafts]).encode(), dtype=np.uint8)
    unfinished = part.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, tokens=packed, embeddings=embed(texts).astype(np.float32))
    os.replace(unfinished, part)
