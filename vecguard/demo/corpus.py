"""The texts of one demo run and their embeddings: the stored notes, the questions, and the attacker's own notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecguard.demo.embedder import EmbedProgress, MiniLM
from vecguard.demo.notes import Note, Question, make_notes, make_questions

Floats = npt.NDArray[np.float32]

QUESTIONS = 200
# Two own notes for three stored ones: the attack is strong with it and the embedding of all stays below 50 s.
ATTACKER_SHARE = 2 / 3
MIN_ATTACKER_NOTES = 300
MAX_ATTACKER_NOTES = 4000


@dataclass(frozen=True)
class Texts:
    """What is written, asked, and what the attacker owns; the attacker's notes share no patient with the stored."""

    notes: tuple[Note, ...]
    questions: tuple[Question, ...]
    own: tuple[Note, ...]

    def __len__(self) -> int:
        return len(self.notes) + len(self.questions) + len(self.own)


@dataclass(frozen=True)
class Corpus:
    """`Texts` with embeddings, float32 (n, 384) each."""

    texts: Texts
    notes: Floats
    questions: Floats
    own: Floats


def make_texts(count: int, seed: int) -> Texts:
    """`count` notes with 200 questions (at most one a note) and the attacker's corpus, all from `seed`.

    Raises:
        InvalidArgument: `count` is out of range (see `make_notes`).
    """
    notes = make_notes(count, seed)
    questions = make_questions(notes, min(QUESTIONS, count), seed + 1)
    own_count = min(max(int(count * ATTACKER_SHARE), MIN_ATTACKER_NOTES), MAX_ATTACKER_NOTES)
    own = make_notes(own_count, seed + 2, avoid={note.patient for note in notes})
    return Texts(tuple(notes), tuple(questions), tuple(own))


def embed(texts: Texts, model: MiniLM, progress: EmbedProgress) -> Corpus:
    """Embeds everything; `progress` is called with the number of texts done in each batch."""

    def rows(items: Sequence[Note | Question]) -> Floats:
        return model.embed([item.text for item in items], progress)

    return Corpus(texts, notes=rows(texts.notes), questions=rows(texts.questions), own=rows(texts.own))
