"""Records that look like a collection's own: vectors out of its cloud, payloads of the shape of its records'.

A vector has the place of one record and the manner of others: the mean of a record's nearest neighbours in the sample,
and, as far from it as the record is, a mixture of what another record has beyond the mean of its own neighbours with
what one of the neighbours has beyond it. Of many such, that one is taken whose neighbours (the nearest to the fiftieth)
are as near as the record's own, and of twice as many as are wanted those that came nearest to that. So density,
subspace and lengths are those of the data.

A payload is a copy of a record's. What is sealed says nothing at rest but its padded length. A value that others can
see (`plain`, `searchable`, `range`) stays where values of its field repeat; where they hardly do, so that a copy would
be told by its twin, another is made that is like them, or the field is refused.
"""

from __future__ import annotations

import copy
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import FailedPrecondition
from vecguard.front.leaves import leaves
from vecguard.front.transfer import Row
from vecguard.policy.model import FieldMode
from vecguard.seal.planted import Form

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = tuple[str, ...]
Payload: TypeAlias = Mapping[str, Any]
ModeOf: TypeAlias = Callable[[Keys], FieldMode]

LEAST_SAMPLE: Final = 32
"""Records that there must be: of fewer, nobody can say what they look like."""
SAMPLE: Final = 1_024
"""Records that are enough."""
VERSIONS: Final[dict[int, Form]] = {4: "uuid4", 5: "uuid5"}
"""The versions of UUIDs among which a random one does not stand out."""
_REPEAT: Final = 0.5
"""The share of distinct values from which on the values of a field hardly repeat."""
_NEAR: Final = 5
_RANKS: Final = (0, 1, 2, 4, 9, 19, 49)
_OTHERS: Final = 5
_TRIES: Final = 2
_LEAST: Final = 1e-12
_ANGLES: Final = np.linspace(0, np.pi / 2, 12)[:, np.newaxis]
_COSINES: Final = np.cos(_ANGLES)
_SINES: Final = np.sin(_ANGLES)
_SIGNS: Final = string.ascii_lowercase + string.digits


def require_enough(found: int, least: int) -> None:
    """Go on only with so many records to be like. Raises FailedPrecondition."""
    if found < least:
        raise FailedPrecondition(f"the collection has {found} records: {least} are needed to be like them")


def rows_like(sample: Sequence[Row], vector: str, keys: Sequence[Any], mode_of: ModeOf) -> tuple[list[Row], list[int]]:
    """A row for each of `keys`, with the vector of this name, and the places in the sample that gave their payloads.

    Raises:
        FailedPrecondition: see `payloads_like`.
    """
    # Whoever plants is no adversary: any generator will do, and what it draws is protected as all records are.
    random = np.random.default_rng()
    places = [int(place) for place in random.integers(len(sample), size=len(keys))]
    payloads = payloads_like([row.payload for row in sample], places, mode_of, random)
    dense = vectors_like(np.stack([np.asarray(row.vectors[vector]) for row in sample]), len(keys), random)
    return [Row(key, {vector: x}, payload) for key, x, payload in zip(keys, dense, payloads, strict=True)], places


def vectors_like(sample: Floats, count: int, random: np.random.Generator) -> Floats:
    """Vectors in the cloud of a sample: (count, d) float32, of (n, d) float32 with n >= count, n >= `LEAST_SAMPLE`."""
    rows = sample.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    cloud = _Cloud.of(rows / np.where(lengths > 0, lengths, 1.0)[:, np.newaxis])
    places = random.choice(len(rows), size=min(_TRIES * count, len(rows)), replace=False)
    made = [cloud.beside(int(place), random) for place in places]
    kept = np.argsort([apart for _, apart in made], kind="stable")[:count]
    lengthened = [lengths[places[i]] + random.uniform() * _step(lengths, cloud, int(places[i]), random) for i in kept]
    return np.array([length * made[i][0] for length, i in zip(lengthened, kept, strict=True)], np.float32)


def _step(lengths: Doubles, cloud: _Cloud, place: int, random: np.random.Generator) -> float:
    """From the length of a record's vector to that of one of its neighbours'."""
    return float(lengths[random.choice(cloud.near[place])] - lengths[place])


@dataclass(frozen=True, slots=True, eq=False)
class _Cloud:
    """A sample's unit vectors `(n, d)`, the rows of the nearest of each `(n, k)`, the means of these and what each has
    beyond its mean, `(n, d)`, and its cosines with the neighbours that `ranks` name, `(n, r)`."""

    units: Doubles
    near: NDArray[np.intp]
    means: Doubles
    beyond: Doubles
    ranks: list[int]
    profiles: Doubles

    @staticmethod
    def of(units: Doubles) -> _Cloud:
        """Of unit vectors."""
        cosines = units @ units.T
        np.fill_diagonal(cosines, -2.0)
        near = np.argsort(-cosines, axis=1)[:, :_NEAR]
        means = units[near].mean(axis=1)
        ranks = [rank for rank in _RANKS if rank < len(units) - 1]
        return _Cloud(units, near, means, units - means, ranks, _ranked(cosines, ranks))

    def beside(self, place: int, random: np.random.Generator) -> tuple[Doubles, float]:
        """A vector like that of the record `place`, and how far its neighbours' cosines are from that record's."""
        base, far = self.means[place], float(np.linalg.norm(self.beyond[place]))
        turned = []
        for other in random.integers(len(self.units), size=_OTHERS):
            for neighbour in self.near[place]:
                own = _unit(self.units[neighbour] - base)
                foreign = self.beyond[other] - (self.beyond[other] @ own) * own
                turned.append(base + far * (_COSINES * _unit(foreign) + _SINES * own))
        tried = np.concatenate(turned)
        tried /= np.maximum(np.linalg.norm(tried, axis=1, keepdims=True), _LEAST)
        apart = np.abs(_ranked(tried @ self.units.T, self.ranks) - self.profiles[place]).sum(axis=1)
        best = int(apart.argmin())
        return tried[best], float(apart[best])


def _ranked(cosines: Doubles, ranks: list[int]) -> Doubles:
    """Of each row the largest, by these ranks from 0."""
    most = max(ranks) + 1
    return np.asarray(-np.sort(-np.partition(cosines, -most, axis=1)[:, -most:], axis=1)[:, ranks])


def _unit(vector: Doubles) -> Doubles:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), _LEAST))


def payloads_like(sample: Sequence[Payload], rows: Sequence[int], mode_of: ModeOf, random: np.random.Generator) -> Any:
    """A payload for each of `rows`, of the shape of that row's.

    Raises:
        FailedPrecondition: a field shows values that hardly repeat, and nothing can be made that is like them.
    """
    seen: dict[Keys, list[Any]] = {}
    for payload in sample:
        for keys, value in leaves(payload):
            seen.setdefault(keys, []).append(value)
    makers = {
        keys: maker for keys, values in seen.items() if (maker := _maker(keys, values, mode_of(keys))) is not None
    }
    made = []
    for row in rows:
        payload = copy.deepcopy(dict(sample[row]))
        _change(payload, (), makers, random)
        made.append(payload)
    return made


Maker: TypeAlias = Callable[[Any, np.random.Generator], Any]


def _maker(keys: Keys, values: list[Any], mode: FieldMode) -> Maker | None:
    """What makes another value of a field; None where a copy does."""
    if mode == "sealed":
        return None
    if mode == "tokens":
        raise _refused(keys, mode, "whose words would be told by their company")
    if len(set(map(repr, values))) < _REPEAT * len(values):
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return lambda value, random: _between(value, values, random)
    if mode == "searchable" and all(isinstance(value, str) for value in values):
        return lambda value, random: "".join(random.choice(list(_SIGNS), size=len(value)))
    raise _refused(keys, mode, "whose values hardly repeat, so that a copy would be told by its twin")


def _refused(keys: Keys, mode: str, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"field `{'.'.join(keys)}` has the mode {mode}, {why}: nothing can be planted that is like it"
    )


def _between(value: Any, values: list[Any], random: np.random.Generator) -> Any:
    one, other = (values[int(random.integers(len(values)))] for _ in range(2))
    middle = one + float(random.uniform()) * (other - one)
    return round(middle) if isinstance(value, int) else float(middle)


def _change(value: Any, keys: Keys, makers: Mapping[Keys, Maker], random: np.random.Generator) -> None:
    """Make the leaves below a map or list anew, in place."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for place, inner in list(items):
        below = (*keys, place) if isinstance(value, dict) else keys
        if isinstance(inner, dict | list):
            _change(inner, below, makers, random)
        elif inner is not None and below in makers:
            value[place] = makers[below](inner, random)
