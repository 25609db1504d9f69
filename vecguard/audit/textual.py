"""From guessed embeddings to recovered text and its scores, and the scores of text that has nothing to do with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.linear import unit
from vecguard.audit.metrics import bleu_interval, bootstrap, cosines, each, exact_match, rouge_l, token_f1
from vecguard.audit.reading import Reading
from vecguard.audit.scene import Scene, TextInverter

Floats = NDArray[np.float32]

TOKEN_F1: Final = "token F1"  # noqa: S105 - no secret


def text_readings(
    inverters: Sequence[TextInverter], guesses: Floats, true: Sequence[str], seed: int, pairs: int = 0
) -> Iterator[Reading]:
    """Invert guesses (n, d) by each inverter, and score the texts against the true ones."""
    for inverter in inverters:
        recovered = inverter.invert(unit(guesses))
        yield from score_texts(inverter.name, recovered, true, seed, pairs)


def score_texts(
    variant: str, recovered: Sequence[str], true: Sequence[str], seed: int, pairs: int = 0
) -> Iterator[Reading]:
    """Token F1, ROUGE-L, exact match and BLEU-4 of recovered texts, of the first records where there are fewer."""
    true = true[: len(recovered)]
    for metric, measure in ((TOKEN_F1, token_f1), ("ROUGE-L", rouge_l), ("exact match", exact_match)):
        yield Reading(variant, metric, bootstrap(each(measure, recovered, true), seed), pairs)
    yield Reading(variant, "BLEU-4", bleu_interval(recovered, true, seed), pairs)


def cosine_reading(variant: str, guesses: Floats, clear: Floats, seed: int, pairs: int = 0) -> Reading:
    """Cosine of guessed and true embeddings, which says little by itself: text may be lost at high cosines."""
    return Reading(variant, "vector cosine", bootstrap(cosines(guesses, clear), seed), pairs)


_FLOORS: WeakKeyDictionary[Scene, float] = WeakKeyDictionary()


def text_floor(scene: Scene) -> float:
    """The best token F1 of three guessers without knowledge, over the scene's inverters.

    They invert random unit vectors; the mean of the attacker's own embeddings, which gives the most typical text; and
    the clear vectors of other victims, which gives real texts that have nothing to do with the record.
    """
    if scene not in _FLOORS:
        _FLOORS[scene] = max(floor for inverter in scene.inverters for floor in _floors(scene, inverter))
    return _FLOORS[scene]


def asked_text_floor(scene: Scene) -> float | None:
    """`text_floor`, where an attack was held against it; None where none was, as it costs as much as an attack."""
    return _FLOORS.get(scene)


def _floors(scene: Scene, inverter: TextInverter) -> Iterator[float]:
    true, clear = scene.victims.texts, scene.victims.embeddings
    noise = scene.random("floor").standard_normal(clear.shape).astype(np.float32)
    typical = np.repeat(scene.own.embeddings.mean(axis=0, keepdims=True), 2, axis=0)
    yield mean_f1(inverter.invert(unit(noise)), true)
    yield mean_f1([inverter.invert(unit(typical))[0]] * len(true), true)
    yield mean_f1(inverter.invert(np.roll(clear, 1, axis=0)), true)


def mean_f1(recovered: Sequence[str], true: Sequence[str]) -> float:
    """Mean token F1, over the first records where fewer were recovered."""
    return float(each(token_f1, recovered, true[: len(recovered)]).mean())
