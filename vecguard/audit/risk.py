"""Risk factors: how leakage changes with dimension, embedder and what the attacker's training data is like.

Every figure is a mean over the same records, with its bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from vecguard.audit.attacks.linkage import links
from vecguard.audit.defence import CLEAR, Defence
from vecguard.audit.linear import Floats, ridge, unit
from vecguard.audit.metrics import Interval, bootstrap, each, token_f1
from vecguard.audit.outcome import RiskPoint
from vecguard.audit.scene import Corpus, Scene, TextInverter
from vecguard.audit.target import Target, in_clear_space

DIMENSIONS: Final = (64, 192)
_PAIRS: Final = 100
# Inversion of all victims by every inverter is dear, and trends show on fewer.
_VICTIMS: Final = 150

CLEAR_F1: Final = "token F1, clear storage"
NO_KEY_F1: Final = "token F1, no key"
ALIGNED_F1: Final = f"token F1, {_PAIRS} pairs"
LINKED: Final = f"R@1, {_PAIRS} pairs"


def risk_points(scene: Scene, defence: Defence, compared: Sequence[Scene]) -> list[RiskPoint]:
    """Figures by dimension, by embedder, and by the attacker's training data, for one defence."""
    whole = _figures(truncated(scene, scene.dims), defence)
    points = [
        RiskPoint("dimension", str(dims), _figures(truncated(scene, dims), defence))
        for dims in DIMENSIONS
        if dims < scene.dims
    ]
    points.append(RiskPoint("dimension", str(scene.dims), whole))
    if compared:
        points.append(RiskPoint("embedder", _embedder(scene), whole))
    points += [RiskPoint("embedder", _embedder(one), _figures(truncated(one, one.dims), defence)) for one in compared]
    return [*points, *_training(scene)]


def _embedder(scene: Scene) -> str:
    return f"{scene.embedder} ({scene.dims} dimensions)"


def truncated(scene: Scene, dims: int) -> Scene:
    """The scene with the first `dims` coordinates of every vector, scaled to length 1, and inverters trained on them.

    Only inverters that train on the attacker's texts are kept: a packaged model knows its embedder's full vectors.
    """

    def cut(corpus: Corpus) -> Corpus:
        return replace(corpus, embeddings=unit(corpus.embeddings[:, :dims])) if len(corpus) else corpus

    whole = dims == scene.dims
    trained = (scene.inverters if whole else scene.train(scene.own.texts, unit(scene.own.embeddings[:, :dims])))[:2]
    return replace(
        scene,
        victims=cut(scene.victims.first(_VICTIMS)),
        crowd=cut(scene.crowd),
        own=cut(scene.own),
        train=lambda texts, embeddings: trained,
        reembed=None,
    )


def _figures(scene: Scene, defence: Defence) -> dict[str, Interval]:
    victims = scene.victims
    figures = {CLEAR_F1: _f1(scene, scene.inverters, victims.embeddings, victims)}
    if defence.name == CLEAR:
        return figures
    target = Target(scene, defence.deploy(scene.dims, scene.seed))
    stored, clear = target.pairs(target.most_pairs(_PAIRS))
    aligned = ridge(stored, clear).apply(target.victims)
    found = links(*target.public_pairs(len(stored)), target.victims, unit(target.deployment.public(victims.embeddings)))
    linked = max((right for _, right in found), key=lambda right: float(right.mean()))
    return {
        **figures,
        NO_KEY_F1: _f1(scene, scene.inverters, in_clear_space(target.victims, scene.dims), victims),
        ALIGNED_F1: _f1(scene, scene.inverters, aligned, victims),
        LINKED: bootstrap(linked, scene.seed),
    }


def _training(scene: Scene) -> Iterator[RiskPoint]:
    victims = scene.victims.first(_VICTIMS)
    if not len(scene.foreign):
        return
    for setting, inverters in (("same domain", scene.inverters), ("other domain", scene.foreign_inverters)):
        yield RiskPoint("training data", setting, {CLEAR_F1: _f1(scene, inverters[:2], victims.embeddings, victims)})


def _f1(scene: Scene, inverters: Sequence[TextInverter], guesses: Floats, victims: Corpus) -> Interval:
    """Token F1 of the inverter that comes best."""
    rows = unit(guesses)
    scored = (each(token_f1, one.invert(rows), victims.texts) for one in inverters)
    return bootstrap(max(scored, key=lambda scores: float(scores.mean())), scene.seed)
