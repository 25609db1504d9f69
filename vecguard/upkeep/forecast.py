"""What a migration would make of a collection, told from a sample of it: how large it gets, how well it is searched.

Nothing is written. The sample is protected with throwaway keys, and searched in memory as the proxy would: candidates
by their protected scores, read until the certificate settles, scored exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vecguard.metric import Distance, bigger_is_better, largest_norm, reported, similarities
from vecguard.policy.model import CollectionPolicy
from vecguard.rerank import Certificate, kth_score, predicted_page
from vecguard.shield import DenseShield, Shield

if TYPE_CHECKING:  # fronts are loaded by the registry
    from vecguard.front.transfer import Row, Transfer

SAMPLE: Final = 1000
_QUERIES: Final = 50
_K: Final = 10
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Recall:
    """What searches for the best ten find of the true best ten, on a sample, and how many candidates they read."""

    records: int
    at_10: float
    candidates: float


@dataclass
class Forecast:
    """Records; bytes a record as it is sent to the database, in clear and as the target has it; recall by vector."""

    records: int
    clear: float
    stored: float
    recall: Mapping[str, Recall] = field(default_factory=dict)


async def forecast(source: Transfer, target: Transfer, policy: CollectionPolicy) -> Forecast:
    """Look at a sample of the source under the target's policy.

    Raises:
        Refused, InvalidArgument: something cannot be carried over; says what.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    rows: list[Row] = []
    blueprint = await source.blueprint()
    async for page in source.pages(None):
        rows += page.rows
        if len(rows) >= SAMPLE:
            break
    shield = target.scratch(blueprint, policy) if policy.protected else None
    clear, stored = target.sizes(rows, blueprint, shield)
    many = max(len(rows), 1)
    found = Forecast(await source.count(), clear / many, stored / many)
    if shield is not None:
        fitted = [target.fitted(row, blueprint) for row in rows]
        found.recall = {name: recall for name in shield.vectors if (recall := _recall(shield, name, fitted))}
    return found


def _recall(shield: Shield, name: str, rows: list[Row]) -> Recall | None:
    """None where nothing can be said: no dense vector, or too few of them."""
    guard = shield.vectors[name]
    if not isinstance(guard, DenseShield) or guard.record.kind != "dense":
        return None
    held = [vector for row in rows if isinstance(vector := row.vectors.get(name), np.ndarray)]
    if len(held) <= _K:
        return None
    x = np.stack(held).astype(np.float32)
    # Each row is bound to its number here; what a record is called makes no difference to its noise's strength.
    stored, _ = guard.protect([i.to_bytes(9, "big") for i in range(len(x))], x)
    found = [_search(guard, x, stored, at) for at in _spread(len(x))]
    return Recall(len(x), float(np.mean([hits for hits, _ in found])), float(np.mean([read for _, read in found])))


def _spread(count: int) -> list[int]:
    return sorted({int(at) for at in np.linspace(0, count - 1, min(_QUERIES, count))})


def _search(guard: DenseShield, x: NDArray[np.float32], stored: NDArray[np.float32], at: int) -> tuple[float, int]:
    """The part of the true best ten that a search for record `at` finds, and how many candidates it reads."""
    distance, query = guard.distance, x[at]
    exact = reported(similarities(query, x, distance), distance)
    probes = []
    for part in guard.parts:
        protected = reported(similarities(guard.query(x[at : at + 1], part)[0], stored, distance), distance)
        order = _ranked(protected, distance)
        probes.append(order[: _read(guard, query, x, exact, protected, order)])
    read = sum(map(len, probes))
    candidates = probes[0] if len(probes) == 1 else np.unique(np.concatenate(probes))
    ranked = candidates if guard.rerank is None else candidates[_ranked(exact[candidates], distance)]
    # By score and not by name: of records that are equally near, any will do.
    bar = kth_score(exact, _K, distance)
    assert bar is not None  # noqa: S101 - the sample is larger
    found = exact[ranked[:_K]]
    near = found >= bar - _ROUNDING if bigger_is_better(distance) else found <= bar + _ROUNDING
    return float(np.count_nonzero(near)) / _K, read


def _ranked(scores: NDArray[np.float32], distance: Distance) -> NDArray[np.intp]:
    return np.argsort(-scores if bigger_is_better(distance) else scores, kind="stable")


def _read(
    guard: DenseShield,
    query: NDArray[np.float32],
    x: NDArray[np.float32],
    exact: NDArray[np.float32],
    protected: NDArray[np.float32],
    order: NDArray[np.intp],
) -> int:
    """How many candidates a probe reads: until its certificate settles, where there is one."""
    rule = guard.rerank
    if rule is None:
        return _K
    if not guard.certified:
        return max(rule.first_page, _K)
    certificate = Certificate.of(
        query,
        guard.distance,
        guard.noise_ratio,
        rule.certainty,
        stored_scale=guard.fixed_scale,
        dims=guard.stored_dims,
        spread=guard.noise_spread,
        noise_norm=guard.noise_norm,
    )
    most = min(max(rule.max_candidates, _K), len(order))
    read, target = 0, min(max(rule.first_page, _K), most)
    while target > read:
        read, there = target, order[:target]
        kth, worst, longest = kth_score(exact[there], _K, guard.distance), protected[there], largest_norm(x[there])
        if kth is None:
            target = min(2 * read, most)
        elif certificate.settled(kth, float(worst[-1]), longest):
            break
        else:
            target = min(predicted_page(worst.tolist(), certificate.reach(kth, float(worst[-1]), longest)), most)
    return read
