"""Crawlers that ask in words: random questions, and three that are led by what they have read already.

The published ones talk to a chatbot and have a language model phrase each question; here they send the question's
embedding to the store and read the passages themselves, which is what the chatbot would have retrieved. Their state and
the rule by which each picks its next question are the papers'; entities and anchors come from `words.anchors`.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import cycle
from typing import Final

import numpy as np

from benchmarks.detection.attacks.attack import Attacker
from benchmarks.detection.attacks.words import anchors
from benchmarks.detection.target import Answer, Vectors, Want

_WANT: Final = Want(limit=10)
_PATIENCE: Final = 20
"""Questions in a row that RAGCrawler drops as asked before, until it takes a public sentence."""
_A_TEXT: Final = 8
"""Anchors taken from one passage."""


def random_crawler(attacker: Attacker) -> None:
    """Public sentences in random order."""
    for row in attacker.random.permutation(len(attacker.public.texts))[: attacker.budget]:
        attacker.fresh(attacker.target.search(attacker.public.vectors[row], _WANT))


def ragcrawler(attacker: Attacker, explore: float = 1.0, alike: float = 0.9) -> None:
    """RAGCrawler (arXiv:2601.15678): a graph of entities that stand together in passages; the next question is about
    the entity whose questions brought most new passages, by an upper confidence bound (UCB1), together with the
    neighbour that it was asked about least. A question too like an earlier one is not asked."""
    state = _Graph(explore)
    asked: list[Vectors] = []
    seeds = cycle(attacker.random.permutation(len(attacker.public.texts)))
    refused = 0
    while attacker.left > 0:
        # Where all that is known has been asked about, it begins anew elsewhere.
        entity, other = state.choose() if refused < _PATIENCE else ("", "")
        text = f"{entity} {other}".strip() if entity else attacker.public.texts[next(seeds)]
        vector = attacker.embed([text])[0]
        if entity and asked and float(np.max(np.stack(asked) @ vector)) > alike:
            state.credit(entity, other, 0)
            refused += 1
            continue
        refused = 0
        asked.append(vector)
        answer = attacker.target.search(vector, _WANT)
        new = attacker.fresh(answer)
        if entity:
            state.credit(entity, other, len(new))
        for at in new:
            state.read(answer.texts[at])


class _Graph:
    """Entities, what they stand beside, and what asking about them brought."""

    def __init__(self, explore: float) -> None:
        self._explore = explore
        self._beside: dict[str, dict[str, int]] = defaultdict(dict)
        self._asked: dict[str, int] = {}
        self._brought: dict[str, float] = {}
        self._turns = 0

    def read(self, text: str) -> None:
        """Take a passage's entities in; those that stand in one passage are neighbours."""
        found = anchors(text, _A_TEXT)
        for entity in found:
            self._asked.setdefault(entity, 0)
            for other in found:
                if other != entity:
                    self._beside[entity].setdefault(other, 0)

    def choose(self) -> tuple[str, str]:
        """The entity of the largest bound on its gain, and its neighbour that was asked about least; ("", "") while
        nothing is known."""
        self._turns += 1
        if not self._asked:
            return "", ""
        names = list(self._asked)
        counts = np.array([self._asked[name] for name in names], dtype=np.float64)
        means = np.array([self._brought.get(name, 0.0) for name in names]) / np.maximum(counts, 1)
        bounds = means + self._explore * np.sqrt(2 * np.log(self._turns + 1) / np.maximum(counts, 0.5))
        entity = names[int(bounds.argmax())]
        beside = self._beside[entity]
        return entity, min(beside, key=beside.__getitem__) if beside else ""

    def credit(self, entity: str, other: str, new: int) -> None:
        """Write down what a question brought, as a share of a full answer."""
        self._asked[entity] += 1
        self._brought[entity] = self._brought.get(entity, 0.0) + new / _WANT.limit
        if other:
            self._beside[entity][other] += 1


def ikea(attacker: Attacker, unrelated: float = 0.3, trust: float = 0.45, sharpness: float = 8.0) -> None:
    """IKEA (arXiv:2505.15420): anchor words; one is drawn the less likely the more it is like a question that met
    nothing or nothing new (experience reflection), and then changed step by step into words of the answer that are
    within a trust region of the last one and far from all asked so far (trust region directed mutation)."""
    pool = _Anchors(attacker)
    bad: list[Vectors] = []
    while attacker.left > 0:
        weights = np.ones(len(pool.words))
        if bad:
            weights = np.exp(-sharpness * np.max(pool.vectors @ np.stack(bad[-200:]).T, axis=1))
        at = int(attacker.random.choice(len(pool.words), p=weights / weights.sum()))
        word, vector = pool.words[at], pool.vectors[at]
        while attacker.left > 0:
            query = attacker.embed([f"What is known about {word}?"])[0]
            answer = attacker.target.search(query, _WANT)
            new = attacker.fresh(answer)
            pool.take(answer, new)
            if not new or float(answer.scores[0]) < unrelated:
                bad.append(vector)
                break
            step = pool.mutate(answer, new, vector, trust)
            if step is None:
                break
            word, vector = step


class _Anchors:
    """Anchor words with their embeddings, and those that were asked about."""

    def __init__(self, attacker: Attacker) -> None:
        self._attacker = attacker
        first = attacker.random.permutation(len(attacker.public.texts))[:60]
        self.words = list(dict.fromkeys(w for row in first for w in anchors(attacker.public.texts[row], 2)))
        self.vectors = attacker.embed(self.words)
        self._used = [self.vectors[0]]

    def take(self, answer: Answer, new: list[int]) -> None:
        """Add words of passages that are new."""
        known = set(self.words)
        found = [w for at in new[:3] for w in anchors(answer.texts[at], 3) if w not in known]
        if found := list(dict.fromkeys(found)):
            self.words += found
            self.vectors = np.concatenate([self.vectors, self._attacker.embed(found)])

    def mutate(self, answer: Answer, new: list[int], here: Vectors, trust: float) -> tuple[str, Vectors] | None:
        """A word of the answer within the trust region, the farthest from those used; None where all were near."""
        words = list(dict.fromkeys(w for at in new for w in anchors(answer.texts[at], 4)))
        if not words:
            return None
        vectors = self._attacker.embed(words)
        nearest = np.max(vectors @ np.stack(self._used).T, axis=1)
        nearest[vectors @ here < trust] = 2.0
        at = int(nearest.argmin())
        if nearest[at] > 0.9:
            return None
        self._used.append(vectors[at])
        return words[at], vectors[at]


def pirates(attacker: Attacker, together: int = 3, alike: float = 0.8) -> None:
    """Pirates of the RAG (arXiv:2412.18295): a set of anchors with a relevance each; some are drawn by softmax over
    their relevance and asked about together. Anchors of questions that bring only what is known lose relevance; new
    passages give new anchors, unless one is too like those there are."""
    pool = _Anchors(attacker)
    relevance = np.ones(len(pool.words))
    while attacker.left > 0:
        odds = np.exp(4.0 * (relevance - relevance.max()))
        drawn = attacker.random.choice(len(pool.words), size=together, replace=False, p=odds / odds.sum())
        query = attacker.embed([", ".join(pool.words[at] for at in drawn)])[0]
        answer = attacker.target.search(query, _WANT)
        new = attacker.fresh(answer)
        relevance[drawn] += 0.5 * (len(new) / _WANT.limit - relevance[drawn])
        before = pool.vectors
        pool.take(answer, new)
        added = pool.vectors[len(before) :]
        if len(added):
            near = np.max(added @ before.T, axis=1)
            relevance = np.concatenate([relevance, np.where(near > alike, 0.0, len(new) / _WANT.limit)])
