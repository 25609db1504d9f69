"""The scene of an audit: texts with their embeddings, and the attacker's text inverters, trained on what he owns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.data import Passages, Texts
from vecguard.audit.linear import unit
from vecguard.audit.pii import Tagged

Floats = NDArray[np.float32]
# Cosine from which on two embeddings are one to a slow inverter: the packaged embedder's int8 weights shift them more.
SAME: Final = 0.9999

Tell = Callable[[str, int, int], None]
"""`tell(what, done, total)`: progress."""


class TextInverter(Protocol):
    """Turns embeddings back into text."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def invert(self, embeddings: Floats, /) -> list[str]:
        """One text a row of (n, d) float32, in the embedder's clear space."""


class Sampled:
    """A slow inverter, which is given the first `most` records only: fewer texts than records are scored then.

    What it made of a row it is not asked again: a row whose cosine to an earlier one is at least `SAME` gets that one's
    text. Many attacks end in the clear vectors again, up to roundings, and those are inverted once.
    """

    def __init__(self, inverter: TextInverter, most: int) -> None:
        self.inverter = inverter
        self.most = most
        self._rows: Floats | None = None
        self._texts: list[str] = []

    @property
    def name(self) -> str:
        """The inverter's."""
        return self.inverter.name

    def invert(self, embeddings: Floats, /) -> list[str]:
        """Texts of the first records."""
        rows = unit(embeddings[: self.most])
        texts = self._remembered(rows)
        if fresh := [place for place, text in enumerate(texts) if text is None]:
            found = self.inverter.invert(rows[fresh])
            self._rows = rows[fresh] if self._rows is None else np.concatenate([self._rows, rows[fresh]])
            self._texts += found
            for place, text in zip(fresh, found, strict=True):
                texts[place] = text
        return [text for text in texts if text is not None]

    def _remembered(self, rows: Floats) -> list[str | None]:
        if self._rows is None or self._rows.shape[1] != rows.shape[1]:
            return [None] * len(rows)
        cosines = rows @ self._rows.T
        closest = cosines.argmax(axis=1)
        near = np.take_along_axis(cosines, closest[:, np.newaxis], axis=1)[:, 0] >= SAME
        return [self._texts[known] if same else None for known, same in zip(closest.tolist(), near, strict=True)]


class Embeds(Protocol):
    """The part of an embedder that is needed here."""

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None, /) -> Floats: ...


Trainer = Callable[[Sequence[str], Floats], list[TextInverter]]
"""Makes an attacker's inverters from his own texts and their embeddings (n, d)."""


@dataclass(frozen=True)
class Corpus:
    """Texts, labels, and embeddings (n, d) float32, row by row."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    embeddings: Floats

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> Corpus:
        """The first `count` records."""
        return Corpus(self.texts[:count], self.labels[:count], self.embeddings[:count])


@dataclass(frozen=True)
class Personal:
    """Texts with personal spans, and embeddings (n, d) float32."""

    tagged: tuple[Tagged, ...]
    embeddings: Floats

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts alone."""
        return tuple(item.text for item in self.tagged)


@dataclass(frozen=True)
class Retrieval:
    """Documents (n, d), questions (m, d), and the rows of each question's documents."""

    documents: Floats
    questions: Floats
    relevant: tuple[frozenset[int], ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """What attacks run on. Stored are `victims` and `crowd`; pairs leak of the crowd; `own` and `foreign` are the
    attacker's; `train` makes his inverters."""

    name: str
    embedder: str
    seed: int
    victims: Corpus
    crowd: Corpus
    own: Corpus
    foreign: Corpus
    personal: Personal
    personal_own: Personal
    retrieval: Retrieval
    train: Trainer
    sparing: bool = False
    """Slow inverters are kept for what they can say something of, for runs over many defences: not for vectors as they
    were stolen where a key hides the embedder's axes, nor after alignments that find hardly a record. Quick inverters
    read everything in any case."""
    reembed: Callable[[Sequence[str]], Floats] | None = None
    """The public embedder, where the attacker has it at hand."""

    @property
    def dims(self) -> int:
        """Dimensions of the clear vectors."""
        return int(self.victims.embeddings.shape[1])

    @cached_property
    def inverters(self) -> list[TextInverter]:
        """Trained on the attacker's texts of the same domain."""
        return self.train(self.own.texts, self.own.embeddings)

    @property
    def quick_inverters(self) -> list[TextInverter]:
        """Those of them that are given every record."""
        return [one for one in self.inverters if not isinstance(one, Sampled)]

    @cached_property
    def foreign_inverters(self) -> list[TextInverter]:
        """Trained on the attacker's texts of another domain; none where he has no such texts."""
        return self.train(self.foreign.texts, self.foreign.embeddings) if len(self.foreign) else []

    @cached_property
    def personal_inverters(self) -> list[TextInverter]:
        """Trained on texts of the kind that holds personal data."""
        return self.train(self.personal_own.texts, self.personal_own.embeddings)

    def random(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that attacks do not depend on each other's draws."""
        return np.random.default_rng([self.seed, *purpose.encode()])


def embed_texts(texts: Texts, embedder: Embeds, name: str, seed: int, train: Trainer, tell: Tell) -> Scene:
    """Embed everything. `tell` hears of every part as it goes."""

    def rows(what: str, items: Sequence[str]) -> Floats:
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            tell(f"embedding {what}", done, len(items))

        return unit(embedder.embed(list(items), progress)) if items else np.zeros((0, 0), np.float32)

    def corpus(what: str, passages: Passages) -> Corpus:
        return Corpus(passages.texts, passages.labels, rows(what, passages.texts))

    def personal(what: str, tagged: tuple[Tagged, ...]) -> Personal:
        return Personal(tagged, rows(what, [item.text for item in tagged]))

    return Scene(
        name=texts.name,
        embedder=name,
        seed=seed,
        victims=corpus("records", texts.victims),
        crowd=corpus("other records", texts.crowd),
        own=corpus("the attacker's texts", texts.own),
        foreign=corpus("texts of another domain", texts.foreign),
        personal=personal("texts with personal data", texts.personal),
        personal_own=personal("the attacker's texts of that kind", texts.personal_own),
        retrieval=Retrieval(rows("documents", texts.documents), rows("questions", texts.questions), texts.relevant),
        train=train,
        reembed=lambda items: unit(embedder.embed(items)),
    )
