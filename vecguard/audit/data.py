"""The texts of one audit: what is stored and attacked, what the attacker owns, what is asked.

A BEIR folder's documents are cut into sentences, because short texts are what inversion recovers best: a defence that
holds for them holds for long ones. Whole documents can be attacked instead. Stored and attacker's texts never share a
document. Where the data set marks documents as kept back from training (`split`), the records under attack are theirs:
no inverter that was trained on the others, as the packaged one was, has seen them. Without a folder the demo's
synthetic clinic notes serve, which need nothing beside the package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from vecguard.audit.beir import Text, read_dataset
from vecguard.audit.pii import Tagged, read_tagged, tagged_notes
from vecguard.demo.notes import Note, make_notes, make_questions
from vecguard.errors import ConfigError

Unit = Literal["sentences", "documents"]

FEWEST: Final = 80
FEWEST_WORDS: Final = 4
MOST_WORDS: Final = 48
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_STORED_SHARE: Final = 0.45
_KEPT_BACK: Final = frozenset({"valid", "validation", "dev", "test"})
# Synthetic notes are so much alike that more of them teach an attacker nothing.
_MOST_NOTES: Final = 2_000
# Texts with personal data that the attacker learns from.
_PERSONAL_OWN: Final = 600


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each: records under attack, other stored records (whose pairs may leak), the attacker's own texts,
    his texts of another domain, texts with personal data; documents and questions for search quality."""

    victims: int = 200
    crowd: int = 10_000
    own: int = 10_000
    foreign: int = 300
    personal: int = 150
    documents: int = 600
    questions: int = 100


QUICK: Final = Sizes(victims=120, crowd=400, own=900, foreign=300, personal=120, documents=500, questions=60)


@dataclass(frozen=True)
class Passages:
    """Texts with a label each ("" where there is none): what an attribute attack guesses, such as the topic."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> Passages:
        """The first `count` of them."""
        return Passages(self.texts[:count], self.labels[:count])

    def after(self, count: int) -> Passages:
        """All but the first `count` of them."""
        return Passages(self.texts[count:], self.labels[count:])


@dataclass(frozen=True)
class Texts:
    """Everything that one audit embeds; `relevant[i]` holds the rows of question i's documents."""

    name: str
    victims: Passages
    crowd: Passages
    own: Passages
    foreign: Passages
    personal: tuple[Tagged, ...]
    personal_own: tuple[Tagged, ...]
    documents: tuple[str, ...]
    questions: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]


def texts_of_folder(
    folder: Path,
    sizes: Sizes,
    seed: int,
    unit: Unit = "sentences",
    pii: Path | None = None,
    words: int = MOST_WORDS,
) -> Texts:
    """A seeded sample of a BEIR folder; personal data from `pii`, else from the synthetic notes, which are also the
    attacker's foreign texts. Of sentences, those of at most `words` words are attacked.

    Raises:
        ConfigError: the folder or the personal data cannot be read, or holds too few texts.
    """
    random = np.random.default_rng(seed)
    dataset = read_dataset(folder, sizes.documents, sizes.questions, seed)
    everything = read_dataset(folder, documents=1 << 30, questions=0, seed=seed).documents
    most = words if unit == "sentences" else None
    victims, crowd, own = _pools(everything, unit, sizes.victims, most, random)
    if min(4 * len(victims), len(crowd), len(own)) < FEWEST:
        raise ConfigError(
            f"{folder}: {len(victims)} {unit} to attack, {len(crowd)} others stored and {len(own)} of the attacker's "
            f"are too few for an audit; it takes {FEWEST // 4}, {FEWEST} and {FEWEST}"
        )
    notes = _notes_of(sizes, seed)
    personal, personal_own = _personal(read_tagged(pii) if pii else None, notes, sizes, random)
    row_of = {text.id: row for row, text in enumerate(dataset.documents)}
    return Texts(
        name=dataset.name,
        victims=victims,
        crowd=crowd.first(sizes.crowd),
        own=own.first(sizes.own),
        foreign=_passages(notes.own).first(sizes.foreign),
        personal=personal,
        personal_own=personal_own,
        documents=tuple(text.full for text in dataset.documents),
        questions=tuple(text.full for text in dataset.questions),
        relevant=tuple(frozenset(row_of[key] for key in dataset.relevant[text.id]) for text in dataset.questions),
    )


def texts_of_notes(sizes: Sizes, seed: int) -> Texts:
    """The demo's synthetic clinic notes: stored notes, the attacker's notes about other patients, questions.

    There are no texts of another domain; personal data is that of the notes themselves.
    """
    notes = _notes_of(sizes, seed)
    stored = _passages(notes.stored)
    asked = make_questions(list(notes.stored), min(sizes.questions, len(notes.stored)), seed + 1)
    row_of = {note.id: row for row, note in enumerate(notes.stored)}
    return Texts(
        name="synthetic-notes",
        victims=stored.first(sizes.victims),
        crowd=stored.after(sizes.victims),
        own=_passages(notes.own),
        foreign=Passages((), ()),
        personal=tuple(tagged_notes(notes.stored[: sizes.personal])),
        personal_own=tuple(tagged_notes(notes.own)),
        documents=stored.texts,
        questions=tuple(question.text for question in asked),
        relevant=tuple(frozenset(row_of[number] for number in question.relevant) for question in asked),
    )


def cut(documents: Sequence[Text], unit: Unit) -> Passages:
    """Distinct passages of documents: whole ones, or their sentences of 4 to 48 words; labelled by title."""
    texts, labels, seen = [], [], set[str]()
    for document in documents:
        parts = [document.text] if unit == "documents" else _SENTENCE_END.split(document.text)
        for part in parts:
            fits = unit == "documents" or FEWEST_WORDS <= len(part.split()) <= MOST_WORDS
            if fits and part not in seen:
                seen.add(part)
                texts.append(part)
                labels.append(document.title)
    return Passages(tuple(texts), tuple(labels))


@dataclass(frozen=True)
class _Notes:
    stored: tuple[Note, ...]
    own: tuple[Note, ...]


def _notes_of(sizes: Sizes, seed: int) -> _Notes:
    stored = make_notes(max(sizes.victims + min(sizes.crowd, _MOST_NOTES), sizes.personal), seed)
    own = make_notes(min(sizes.own, _MOST_NOTES), seed + 2, avoid={note.patient for note in stored})
    return _Notes(tuple(stored), tuple(own))


def _passages(notes: Sequence[Note]) -> Passages:
    return Passages(tuple(note.text for note in notes), tuple(note.diagnosis for note in notes))


def _pools(
    documents: Sequence[Text], unit: Unit, victims: int, most_words: int | None, random: np.random.Generator
) -> tuple[Passages, Passages, Passages]:
    """Records under attack (of at most so many words), other stored ones and the attacker's passages, each shuffled; no
    text is in two of them, and nothing of the attacker's comes from a document that is stored."""
    sides = zip(documents, random.random(len(documents)) < _STORED_SHARE, strict=True)
    kept_back = [text for text in documents if text.split in _KEPT_BACK]
    open_to_all = [(text, mine) for text, mine in sides if text.split not in _KEPT_BACK]
    stored = _shuffled(cut([text for text, mine in open_to_all if mine], unit), random)
    own = _shuffled(cut([text for text, mine in open_to_all if not mine], unit), random)
    if kept_back:
        attacked = _shuffled(cut(kept_back, unit), random)
        attacked = _short(_without(attacked, {*stored.texts, *own.texts}), most_words).first(victims)
    else:
        attacked = _short(stored, most_words).first(min(victims, len(stored) // 2))
    return attacked, _without(stored, set(attacked.texts)), _without(own, {*stored.texts, *attacked.texts})


def _short(passages: Passages, most_words: int | None) -> Passages:
    fits = [i for i, text in enumerate(passages.texts) if most_words is None or len(text.split()) <= most_words]
    return _picked(passages, fits)


def _without(passages: Passages, known: Set[str]) -> Passages:
    return _picked(passages, [i for i, text in enumerate(passages.texts) if text not in known])


def _picked(passages: Passages, rows: Sequence[int]) -> Passages:
    return Passages(tuple(passages.texts[i] for i in rows), tuple(passages.labels[i] for i in rows))


def _shuffled(passages: Passages, random: np.random.Generator) -> Passages:
    return _picked(passages, random.permutation(len(passages)).tolist())


def _personal(
    tagged: Sequence[Tagged] | None, notes: _Notes, sizes: Sizes, random: np.random.Generator
) -> tuple[tuple[Tagged, ...], tuple[Tagged, ...]]:
    if tagged is None:
        return tuple(tagged_notes(notes.stored[: sizes.personal])), tuple(tagged_notes(notes.own))
    order = random.permutation(len(tagged)).tolist()
    mixed = [tagged[i] for i in order]
    count = min(sizes.personal, len(mixed) // 3)
    return tuple(mixed[:count]), tuple(mixed[count : count + min(sizes.own, _PERSONAL_OWN)])


def resized(sizes: Sizes, **given: int | None) -> Sizes:
    """The sizes with those replaced that were given."""
    return replace(sizes, **{name: value for name, value in given.items() if value is not None})
