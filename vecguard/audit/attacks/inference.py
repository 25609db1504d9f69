"""Attribute and membership inference: the topic of a record, and whether a known text is stored at all.

Attribute inference is section 5 of Song & Raghunathan (CCS 2020): a classifier from embeddings to a label, trained on
the attacker's own labelled texts. Membership inference asks for the nearest stored vector of a candidate text; on clear
storage a stored text is found at distance zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.linear import LinearMap, ridge, unit
from vecguard.audit.metrics import Interval, auc, bootstrap
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target, in_clear_space
from vecguard.demo.inverters import AttributeInverter

Floats = NDArray[np.float32]

PAIRS: Final = 1_000
# A label that the attacker has seen less often than this cannot be learnt.
FEWEST_EXAMPLES: Final = 8
# Records other than the victims whose label is guessed.
SUBJECTS: Final = 200
_PENALTY: Final = 0.3


class AttributeInference:
    """Which of the labels that the attacker knows does a record have?"""

    name: ClassVar[str] = "attribute"
    title: ClassVar[str] = "Attribute inference"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = "accuracy"
    needed: ClassVar[float] = 0.4
    knows: ClassVar[str] = "own texts of the same domain with their labels; with pairs also those"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """Accuracy over records whose label can be learnt, without pairs and with up to 1,000."""
        labels = _learnable(scene)
        subjects = _subjects(scene, target, labels)
        if len(labels) < 2 or len(subjects.rows) == 0:
            return
        model = _classifier(scene, labels)
        true = np.array(subjects.labels)
        stored = (target.victims if subjects.victims else target.crowd)[subjects.rows]
        for pairs, guesses in _views(scene, target, stored):
            guessed = np.array(model.invert(unit(guesses)))
            right = (guessed == true).astype(np.float64)
            yield Reading("ridge classifier", self.metric, bootstrap(right, scene.seed), pairs)

    def floor(self, scene: Scene, target: Target) -> float:
        """Always saying the label that is commonest among those records."""
        known = _subjects(scene, target, _learnable(scene)).labels
        return max(Counter(known).values()) / len(known) if known else 0.0


class MembershipInference:
    """Is a text that the attacker holds among those stored?"""

    name: ClassVar[str] = "membership"
    title: ClassVar[str] = "Membership inference"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = "AUC"
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "candidate texts and their embeddings; with pairs also those"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """AUC of the nearest stored vector's cosine, for victims against texts that are not stored."""
        count = min(len(scene.victims), len(scene.own))
        inside, outside = scene.victims.embeddings[:count], scene.own.embeddings[:count]
        for pairs, guesses in _views(scene, target, target.victims):
            stored = unit(guesses)
            present, absent = ((rows @ stored.T).max(axis=1) for rows in (inside, outside))
            yield Reading("nearest stored vector", self.metric, _auc_interval(present, absent, scene.seed), pairs)

    def floor(self, scene: Scene, target: Target) -> float:
        """A coin."""
        return 0.5


@dataclass(frozen=True)
class _Subjects:
    """Records whose label is guessed: rows of the victims, or of the other stored records."""

    victims: bool
    rows: list[int]
    labels: list[str]


def _subjects(scene: Scene, target: Target, labels: frozenset[str]) -> _Subjects:
    """The victims, if any; where their labels are their own alone (documents kept back from training have titles that
    the attacker's have not), other stored records, of which no pair leaks here."""
    victims = [row for row, label in enumerate(scene.victims.labels) if label in labels]
    if victims:
        return _Subjects(True, victims, [scene.victims.labels[row] for row in victims])
    kept = range(target.most_pairs(PAIRS), len(scene.crowd))
    others = [row for row in kept if scene.crowd.labels[row] in labels][:SUBJECTS]
    return _Subjects(False, others, [scene.crowd.labels[row] for row in others])


def _views(scene: Scene, target: Target, rows: Floats) -> Iterator[tuple[int, Floats]]:
    """Stored vectors as they were stolen, and mapped back by leaked pairs."""
    yield 0, in_clear_space(rows, scene.dims)
    count = target.most_pairs(PAIRS)
    back: LinearMap = ridge(*target.pairs(count))
    yield count, back.apply(rows)


def _learnable(scene: Scene) -> frozenset[str]:
    counts = Counter(label for label in scene.own.labels if label)
    return frozenset(label for label, count in counts.items() if count >= FEWEST_EXAMPLES)


def _classifier(scene: Scene, labels: frozenset[str]) -> AttributeInverter:
    rows = [i for i, label in enumerate(scene.own.labels) if label in labels]
    return AttributeInverter.fit([scene.own.labels[i] for i in rows], scene.own.embeddings[rows], _PENALTY)


def _auc_interval(
    present: NDArray[np.floating], absent: NDArray[np.floating], seed: int, rounds: int = 200
) -> Interval:
    random = np.random.default_rng(seed)
    values = [auc(random.choice(present, len(present)), random.choice(absent, len(absent))) for _ in range(rounds)]
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(auc(present, absent), float(low), float(high), len(present))
