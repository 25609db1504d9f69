"""A data set made ready for traffic: what is stored, what honest users ask, and what an attacker may hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.attacks.attack import Public
from benchmarks.detection.attacks.words import anchors
from benchmarks.detection.target import Vectors
from benchmarks.detection.texts import LONGEST, TextVectors
from vecguard.audit.beir import open_lines, read_dataset

HELD_OUT: Final = 500
"""Documents that are not stored, as candidates of membership probes, beside as many that are."""
REWRITES: Final = 3
"""Further phrasings of a question that multi-query retrieval asks with it."""
_NEAR: Final = 30


@dataclass(frozen=True)
class Sizes:
    """How much of a data set is taken: documents stored, questions, questions with rewrites, an attacker's texts."""

    documents: int = 10_000
    questions: int = 5_000
    rewritten: int = 1_500
    public: int = 4_000


QUICK: Final = Sizes(2_000, 1_000, 300, 1_500)


@dataclass(frozen=True, eq=False)
class World:
    """Everything that traffic on one collection is made of. Ids of records are the rows of `documents`.

    `near` (m, 30): for each question the questions most like it. `rewrites` (r, 3, d): other phrasings of the first r
    questions. `public` is what attackers hold: sentences of other documents, of the same kind and of other kinds.
    """

    name: str
    documents: Public
    questions: Public
    near: NDArray[np.int64]
    rewrites: Vectors
    public: Public
    candidates: Public

    @property
    def dims(self) -> int:
        """Dimensions of the embeddings."""
        return self.documents.vectors.shape[1]


def load_world(folder: Path, sentences: Path, embed: TextVectors, sizes: Sizes, seed: int = 0) -> World:
    """Read a data set in the BEIR layout, and sentences (JSON Lines with a `text` each) as public text.

    Raises:
        ConfigError: a file is missing or not in its layout.
    """
    data = read_dataset(folder, sizes.documents + HELD_OUT, sizes.questions, seed)
    random = np.random.default_rng(seed)
    answers = set().union(*data.relevant.values())
    texts = [f"{one.title} {one.text}".strip()[:LONGEST] for one in data.documents]
    free = [row for row, one in enumerate(data.documents) if one.id not in answers]
    out = set(random.permutation(free)[:HELD_OUT].tolist())
    stored = tuple(text for row, text in enumerate(texts) if row not in out)
    known = tuple(texts[row] for row in sorted(out))
    asked = tuple(one.text for one in data.questions)
    public = _sentences(sentences, sizes.public, random)
    vectors = {part: embed(part) for part in (stored, asked, known, public)}
    inside = random.permutation(len(stored))[: len(known)]
    mixed = random.permutation(2 * len(known))
    both = (*known, *(stored[row] for row in inside))
    rewritten = [text for question in asked[: sizes.rewritten] for text in rewrites(question)]
    return World(
        name=data.name,
        documents=Public(stored, vectors[stored]),
        questions=Public(asked, vectors[asked]),
        near=_near(vectors[asked]),
        rewrites=embed(rewritten).reshape(-1, REWRITES, vectors[asked].shape[1]),
        public=Public(public, vectors[public]),
        candidates=Public(
            tuple(both[row] for row in mixed),
            np.concatenate([vectors[known], vectors[stored][inside]])[mixed],
        ),
    )


def rewrites(question: str) -> tuple[str, str, str]:
    """Three further phrasings, as a query-expanding step makes them: what is asked for, its words, a wider one."""
    plain = re.sub(
        r"^(what|who|when|where|which|how|why)\b( (is|are|was|were|did|do|does|\(are\)))*",
        "",
        question,
        flags=re.IGNORECASE,
    )
    plain = plain.strip(" ?")
    words = " ".join(anchors(question, 6)) or plain
    return plain or question, f"{words}?", f"Tell me more about {words}"


def _near(rows: Vectors) -> NDArray[np.int64]:
    scores = rows @ rows.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :_NEAR]


def _sentences(path: Path, count: int, random: np.random.Generator) -> tuple[str, ...]:
    with open_lines(path) as lines:
        texts = [str(json.loads(line)["text"]) for line in lines if line.strip()]
    return tuple(texts[row] for row in random.permutation(len(texts))[:count])
