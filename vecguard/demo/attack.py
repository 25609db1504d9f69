"""What an attacker recovers from stolen vectors, measured against the notes they were made from.

The attacker is adversary A of the threat model: the public embedder, own notes of the same kind about other people,
the stolen vectors, no key. `with_leaked_pairs` is adversary B: A who also knows the text behind some stored vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecguard.demo.inverters import AttributeInverter, Floats, NearestNote, WordInverter, tokenise
from vecguard.demo.notes import Note
from vecguard.errors import InvalidArgument


@dataclass(frozen=True)
class Leakage:
    """Shares between 0 and 1, averaged over all stolen notes.

    nearest_*: the closest own text: token F1 with the true note, and how often it names the note's diagnosis, patient
    or e-mail address. words_*: the predicted word set: F1 with the note's words, and how often it holds every word of
    the diagnosis. guessed_*: the attribute inverters: diagnosis right, full name right (given name and surname).
    """

    nearest_token_f1: float
    nearest_diagnosis: float
    nearest_name: float
    nearest_email: float
    words_f1: float
    words_diagnosis: float
    guessed_diagnosis: float
    guessed_name: float


@dataclass(frozen=True)
class Attacker:
    """The trained inverters. `own` and `embeddings` (float32, (n, d)) are the attacker's notes, row by row."""

    own: tuple[Note, ...]
    nearest: NearestNote
    words: WordInverter
    diagnosis: AttributeInverter
    given_name: AttributeInverter
    surname: AttributeInverter

    @classmethod
    def train(cls, own: Sequence[Note], embeddings: Floats) -> Attacker:
        """Trains every inverter on the attacker's own notes.

        Raises:
            InvalidArgument: too few notes to learn from (see `WordInverter.fit`).
        """
        words = WordInverter.fit([note.text for note in own], embeddings)
        penalty = words.penalty

        def attribute(values: list[str]) -> AttributeInverter:
            return AttributeInverter.fit(values, embeddings, penalty)

        return cls(
            own=tuple(own),
            nearest=NearestNote(embeddings),
            words=words,
            diagnosis=attribute([note.diagnosis for note in own]),
            given_name=attribute([note.patient.split()[0] for note in own]),
            surname=attribute([note.patient.split()[1] for note in own]),
        )

    def attack(self, stolen: Floats, notes: Sequence[Note]) -> Leakage:
        """Inverts `stolen` (float32 (n, d), row i was stored for `notes[i]`) and scores the result.

        The notes serve only to score. Rows are scaled to unit length first, as every cosine attack may do.

        Raises:
            InvalidArgument: rows and notes differ in number, or there are none.
        """
        if len(stolen) != len(notes) or len(notes) == 0:
            raise InvalidArgument(f"{len(stolen)} vectors cannot be scored against {len(notes)} notes")
        unit = stolen / np.maximum(np.linalg.norm(stolen, axis=1, keepdims=True), np.float32(1e-12))
        found = [self.own[row].text for row in self.nearest.invert(unit)]
        sets = self.words.invert(unit)
        diagnoses = self.diagnosis.invert(unit)
        names = [
            f"{given} {last}"
            for given, last in zip(self.given_name.invert(unit), self.surname.invert(unit), strict=True)
        ]
        return Leakage(
            nearest_token_f1=_mean([token_f1(text, note.text) for text, note in zip(found, notes, strict=True)]),
            nearest_diagnosis=_mean([note.diagnosis in text for text, note in zip(found, notes, strict=True)]),
            nearest_name=_mean([note.patient in text for text, note in zip(found, notes, strict=True)]),
            nearest_email=_mean([note.email in text for text, note in zip(found, notes, strict=True)]),
            words_f1=_mean([_set_f1(one, set(tokenise(note.text))) for one, note in zip(sets, notes, strict=True)]),
            words_diagnosis=_mean(
                [one.issuperset(tokenise(note.diagnosis)) for one, note in zip(sets, notes, strict=True)]
            ),
            guessed_diagnosis=_mean([guess == note.diagnosis for guess, note in zip(diagnoses, notes, strict=True)]),
            guessed_name=_mean([guess == note.patient for guess, note in zip(names, notes, strict=True)]),
        )


def floor(attacker: Attacker, notes: Sequence[Note], dims: int, seed: int) -> Leakage:
    """What the same attack scores on random unit vectors, which say nothing about the notes."""
    random = np.random.default_rng(seed).standard_normal((len(notes), dims)).astype(np.float32)
    return attacker.attack(random, notes)


def with_leaked_pairs(stolen: Floats, known: Floats, penalty: float = 1.0) -> Floats:
    """Undoes an unknown rotation as well as leaked pairs allow: least squares from stored to clear embeddings.

    Args:
        stolen: float32 (n, d), every stored vector; the first len(known) of them are the leaked ones.
        known: float32 (m, d), the clear embeddings of the leaked texts, which the attacker computes himself.
        penalty: the ridge penalty, needed as m is mostly below d.

    Returns:
        float32 (n - m, d): estimates of the clear embeddings behind the stored vectors that did not leak.

    Raises:
        InvalidArgument: nothing leaked, or nothing is left to attack.
    """
    if not 0 < len(known) < len(stolen):
        raise InvalidArgument(f"{len(known)} leaked pairs do not fit {len(stolen)} stored vectors")
    leaked = stolen[: len(known)]
    weights = np.linalg.solve(leaked.T @ leaked + penalty * np.eye(leaked.shape[1]), leaked.T @ known)
    estimates: Floats = (stolen[len(known) :] @ weights).astype(np.float32)
    return estimates


def token_f1(recovered: str, true: str) -> float:
    """F1 of two texts as bags of tokens (SQuAD's measure, Rajpurkar et al. 2016, without its article stripping)."""
    left, right = Counter(tokenise(recovered)), Counter(tokenise(true))
    return 2.0 * (left & right).total() / max(left.total() + right.total(), 1)


def _set_f1(recovered: frozenset[str], true: set[str]) -> float:
    return 2.0 * len(recovered & true) / max(len(recovered) + len(true), 1)


def _mean(values: Sequence[float | bool]) -> float:
    return float(np.mean(values))
