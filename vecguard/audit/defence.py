"""A defence under attack: a policy's rule for vectors, compiled with a fresh random key, and what each side sees of it.

Nothing here knows kinds of transforms: whatever the policy can say, the shield compiles, and the lab attacks what the
shield would store. The attacker's view is what a database would hold, so cosine records are of unit length.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from vecguard.dense_shield import DenseShield
from vecguard.errors import ConfigError
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord
from vecguard.metric import normalize
from vecguard.policy.model import CollectionPolicy, PayloadRule, VectorRule
from vecguard.registry import TRANSFORMS
from vecguard.shield import Shield
from vecguard.transform.base import VectorMap

Floats = NDArray[np.float32]

CLEAR: Final = "clear"
# How records are recovered and re-ranked: the first that the transforms allow.
_KEPT: Final[tuple[dict[str, object], ...]] = (
    {"recover": "derived"},
    {"recover": "sealed"},
    {"recover": "sealed", "rerank": {"candidates": 200}},
)
_IDENTITY: Final = uuid.UUID("5bd1e995-0000-4000-8000-000000000000")
_CREATED: Final = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """Records as the database holds them: `vectors` (n, d') float32, and each record's entry (None: it has none)."""

    ids: tuple[bytes, ...]
    vectors: Floats
    entries: tuple[bytes | None, ...]


class Deployment(Protocol):
    """One collection under a defence, with its own key."""

    @property
    def name(self) -> str:
        """The defence's."""

    @property
    def noise_ratio(self) -> float:
        """E‖noise‖ / ‖record‖, which is public; 0 without noise."""

    @property
    def cells(self) -> int:
        """To how many cells with keys of their own records are dealt, which is public; 1: there is one key."""

    def public(self, x: Floats) -> Floats:
        """Clear rows (n, d) after what is no secret of the defence: what stands before the first key, such as a fitted
        projection, whose file anybody may have."""

    def store(self, x: Floats, first_id: int = 0) -> Stored:
        """What is stored for clear unit rows (n, d) float32 under the ids first_id, first_id + 1, ..."""

    def ask(self, q: Floats) -> Floats:
        """What the database sees of clear queries (m, d) float32: (m, d') float32."""

    def search(self, stored: Stored, q: Floats, k: int) -> tuple[list[list[int]], NDArray[np.int64]]:
        """Rows of the k best records for each query, best first, and how many candidates were read for each."""


class Defence(Protocol):
    """Something that can be deployed."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def deploy(self, dims: int, seed: int) -> Deployment:
        """A collection for cosine vectors of `dims` dimensions; the key is drawn from `seed`."""


@dataclass(frozen=True)
class ClearStorage:
    """No defence: what every attack has to succeed against before it says anything about the others."""

    name: str = CLEAR

    def deploy(self, dims: int, seed: int) -> Deployment:
        """Vectors as they come."""
        return _ClearDeployment()


class _ClearDeployment:
    name = CLEAR
    noise_ratio = 0.0
    cells = 1

    def public(self, x: Floats) -> Floats:
        return x

    def store(self, x: Floats, first_id: int = 0) -> Stored:
        ids = record_ids(len(x), first_id)
        return Stored(ids, normalize(x), (None,) * len(x))

    def ask(self, q: Floats) -> Floats:
        return q

    def search(self, stored: Stored, q: Floats, k: int) -> tuple[list[list[int]], NDArray[np.int64]]:
        return nearest(stored.vectors, q, k), np.full(len(q), k, np.int64)


@dataclass(frozen=True)
class PolicyDefence:
    """A rule of a policy file."""

    name: str
    rule: VectorRule

    def deploy(self, dims: int, seed: int) -> Deployment:
        """Compile the rule as the proxy does for a new collection.

        Raises:
            InvalidArgument: a number of dimensions that the rule's transforms cannot work on.
        """
        return ShieldDeployment(self.name, self.rule, shield_for(self.rule, dims, key_from(seed, self.name)))


class ShieldDeployment:
    """A collection behind a compiled shield."""

    def __init__(self, name: str, rule: VectorRule, shield: DenseShield) -> None:
        self.name = name
        self.rule = rule
        self.shield = shield
        self.noise_ratio = shield.noise_ratio
        self.cells = rule.cells

    def public(self, x: Floats) -> Floats:
        """See `Deployment`."""
        for spec in self.rule.transforms:
            if spec.hides_axes or spec.adds_noise:
                break
            if spec.projects:
                step = TRANSFORMS.load(spec.kind)(spec, x.shape[1], lambda purpose: Key.random())
                assert isinstance(step, VectorMap)  # noqa: S101 - what projects is one
                x = step.apply(x)
        return x

    def store(self, x: Floats, first_id: int = 0) -> Stored:
        """See `Deployment`; the same content under the same id is stored as the same record."""
        ids = record_ids(len(x), first_id)
        vectors, entries = self.shield.protect(ids, x)
        return Stored(ids, vectors, tuple(entries))

    def ask(self, q: Floats) -> Floats:
        """See `Deployment`."""
        return self.shield.query(q, self.shield.parts[0])

    def describe(self) -> list[str]:
        """What the transforms do and claim against whom, in plain sentences."""
        said: list[str] = []
        dims = self.shield.record.dims
        for spec in self.rule.transforms:
            step = TRANSFORMS.load(spec.kind)(spec, dims, lambda purpose: Key.random())
            said += step.describe()
            dims = step.dims_out if isinstance(step, VectorMap) else dims
        return said

    def search(self, stored: Stored, q: Floats, k: int) -> tuple[list[list[int]], NDArray[np.int64]]:
        """See `Deployment`: the proxy's own certified over-fetch, over an exact scan of the protected vectors."""
        from vecguard.audit.search import certified_search

        return certified_search(self.shield, stored, q, k)


def shield_for(rule: VectorRule, dims: int, key: Key) -> DenseShield:
    """The shield of one cosine vector under `rule` and this data key.

    Raises:
        InvalidArgument: a number of dimensions that the rule's transforms cannot work on.
    """
    record = VectorRecord(
        name="", kind="dense", dims=dims, distance="cosine", transforms=rule.transforms, recover=rule.recover
    )
    policy = CollectionPolicy(match="*", vectors=(rule.model_copy(update={"match": "*"}),)).placed(0)
    manifest = Manifest(
        uuid=_IDENTITY, collection="audit", created=_CREATED, epochs={1: ""}, current=1, payload=PayloadRule()
    )
    return Shield(manifest, KeyRing({1: key}, 1), {"": record}, policy).dense("")


def key_from(seed: int, name: str) -> Key:
    """The data key of a defence in a seeded run: reproducible, and another for every defence and seed."""
    return Key(hashlib.sha256(f"vecguard audit {seed} {name}".encode()).digest())


def parse_defence(text: str) -> Defence:
    """A defence from one line: `clear`, or transforms joined by `+`, each `KIND[:FIELD=VALUE[,FIELD=VALUE]]`.

    `rotation+gaussian:ratio=2` is the rule with those two transforms. What cannot be derived back is kept sealed, and
    200 candidates are read where no certificate covers what is lost.

    Raises:
        ConfigError: the line is no rule of a policy.
    """
    if text == CLEAR:
        return ClearStorage()
    transforms = [_transform(part) for part in text.split("+")]
    problem: ValidationError | None = None
    for rest in _KEPT:
        try:
            return PolicyDefence(text, VectorRule.model_validate({"transforms": transforms, **rest}))
        except ValidationError as fault:
            problem = problem or fault
    assert problem is not None  # noqa: S101 - both attempts failed
    reasons = "; ".join(str(error["msg"]) for error in problem.errors()[:3])
    raise ConfigError(f"`{text}` is no defence: {reasons}")


def rule_text(rule: VectorRule) -> str:
    """What a rule says as JSON, the same text for the same rule; its `match` is left out, which protects nothing."""
    return json.dumps(rule.model_dump(mode="json", exclude={"match"}), sort_keys=True)


def record_ids(count: int, first: int = 0) -> tuple[bytes, ...]:
    """Ids of consecutive records, 8 bytes each."""
    return tuple(number.to_bytes(8, "big") for number in range(first, first + count))


def nearest(vectors: Floats, q: Floats, k: int) -> list[list[int]]:
    """Rows of the k vectors with the largest inner product for each query, best first, by exhaustive search."""
    k = min(k, len(vectors))
    scores = q @ vectors.T
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    ranked: list[list[int]] = np.take_along_axis(top, order, axis=1).tolist()
    return ranked


def names_of(defences: Sequence[Defence]) -> str:
    """For texts: the defences' names."""
    return ", ".join(f"`{defence.name}`" for defence in defences)


def _transform(part: str) -> dict[str, object]:
    kind, _, fields = part.strip().partition(":")
    given: dict[str, object] = {"kind": kind.strip()}
    for field in filter(None, fields.split(",")):
        name, equals, value = field.partition("=")
        if not equals:
            raise ConfigError(f"`{part}` is no transform: write KIND:FIELD=VALUE, as in gaussian:ratio=2")
        given[name.strip()] = yaml.safe_load(value)
    return given
