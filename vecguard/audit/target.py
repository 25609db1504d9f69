"""One deployed defence with the scene's records in it: what an attacker can lay hands on."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.defence import Deployment, ShieldDeployment
from vecguard.audit.linear import unit
from vecguard.audit.scene import Scene

Floats = NDArray[np.float32]

# Ids of the records with personal data: apart from those of victims and crowd.
_PERSONAL_IDS = 1 << 40


class Target:
    """Victims and crowd are one collection, so they share a key; pairs leak of the crowd only."""

    def __init__(self, scene: Scene, deployment: Deployment) -> None:
        self.scene = scene
        self.deployment = deployment
        self.name = deployment.name

    @cached_property
    def victims(self) -> Floats:
        """Stored vectors (n, d') of the records under attack."""
        return self.deployment.store(self.scene.victims.embeddings).vectors

    @cached_property
    def crowd(self) -> Floats:
        """Stored vectors (n, d') of the other records."""
        return self.deployment.store(self.scene.crowd.embeddings, first_id=len(self.scene.victims)).vectors

    @cached_property
    def everything(self) -> Floats:
        """All stored vectors, victims first."""
        return np.concatenate([self.victims, self.crowd])

    @cached_property
    def personal(self) -> Floats:
        """Stored vectors (n, d') of the texts with personal data, in the same collection."""
        return self.deployment.store(self.scene.personal.embeddings, first_id=_PERSONAL_IDS).vectors

    @property
    def shows_axes(self) -> bool:
        """Whether stored vectors may lie along the embedder's axes: under no rule of a policy they do."""
        return not isinstance(self.deployment, ShieldDeployment)

    def pairs(self, count: int) -> tuple[Floats, Floats]:
        """`count` leaked pairs: stored (m, d') and clear (m, d); fewer where there are fewer records."""
        return self.crowd[:count], self.scene.crowd.embeddings[:count]

    def public_pairs(self, count: int) -> tuple[Floats, Floats]:
        """`pairs`, the clear side after what is no secret: what a keyed map is told from with the fewest pairs."""
        stored, clear = self.pairs(count)
        return stored, unit(self.deployment.public(clear))

    def pair_counts(self, wanted: tuple[int, ...]) -> list[int]:
        """Those of the wanted numbers of pairs that the crowd has."""
        return [count for count in wanted if count <= len(self.scene.crowd)]

    def most_pairs(self, wanted: int) -> int:
        """The wanted number of pairs, or as many as there are."""
        return min(wanted, len(self.scene.crowd))


def in_clear_space(vectors: Floats, dims: int) -> Floats:
    """Stored vectors (n, d') as somebody without a key must take them: cut or filled with zeros to (n, dims)."""
    if vectors.shape[1] >= dims:
        return vectors[:, :dims]
    return np.pad(vectors, ((0, 0), (0, dims - vectors.shape[1])))
