"""The numpy decoder: equal to the torch network it was trained as, and strict about what it is given."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.audit.inverter.architecture import Architecture
from vecguard.audit.inverter.decoder import Decoder, Floats, gelu, log_softmax, weight_shapes
from vecguard.errors import ConfigError, InvalidArgument

SHAPE = Architecture(dims=12, vocabulary=300, width=16, heads=2, layers=2, feed=24, condition=20, length=10)


def random_weights(shape: Architecture, seed: int = 0) -> dict[str, Floats]:
    chance = np.random.default_rng(seed)
    return {name: chance.normal(scale=0.3, size=size).astype(np.float32) for name, size in weight_shapes(shape).items()}


def unit_rows(count: int, dims: int, seed: int = 1) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("corrects", [False, True])
def test_equals_the_torch_network(corrects: bool) -> None:
    torch = pytest.importorskip("torch")
    from vecguard.audit.training.network import InverterNetwork

    shape = SHAPE.model_copy(update={"corrects": corrects})
    weights = random_weights(shape)
    network = InverterNetwork(shape)
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    embeddings, found = unit_rows(3, 12), unit_rows(3, 12, seed=2)
    tokens = np.random.default_rng(3).integers(3, 300, (3, 6))
    hypothesis = np.random.default_rng(4).integers(2, 300, (3, 5))
    extra = (torch.from_numpy(found),) if corrects else ()
    with torch.no_grad():
        reading = network.read(torch.from_numpy(embeddings), *extra)
        states = network(reading, torch.from_numpy(tokens), torch.from_numpy(hypothesis) if corrects else None)
        expected = torch.log_softmax(network.logits(states, reading, torch.arange(300)), dim=-1).numpy()
        evidence = network.word_logits(reading, torch.arange(300)).numpy()
    decoder = Decoder(shape, weights)
    writing = decoder.begin(embeddings, *((hypothesis, found) if corrects else ()))
    np.testing.assert_allclose(writing.evidence, evidence, atol=2e-5)
    for place in range(tokens.shape[1]):
        logs, writing = decoder.next(writing, tokens[:, place])
        np.testing.assert_allclose(logs, expected[:, place], atol=2e-5)


def test_rows_do_not_touch_each_other() -> None:
    decoder = Decoder(SHAPE, random_weights(SHAPE))
    both = decoder.begin(unit_rows(2, 12))
    logs, writing = decoder.first(both)
    swapped, _ = decoder.next(writing.select(np.array([1, 1, 0])), np.array([7, 8, 9]))
    alone, _ = decoder.next(decoder.first(decoder.begin(unit_rows(2, 12)[:1]))[1], np.array([9]))
    np.testing.assert_allclose(swapped[2], alone[0], atol=1e-5)
    assert logs.shape == (2, 300)


def test_gelu_and_softmax_are_their_formulas() -> None:
    from math import erf

    points = np.linspace(-6, 6, 201, dtype=np.float32)
    exact = [x * 0.5 * (1 + erf(x / 2**0.5)) for x in points.tolist()]
    np.testing.assert_allclose(gelu(points), exact, atol=2e-6)
    np.testing.assert_allclose(np.exp(log_softmax(np.array([[1e4, 1e4, 0.0]], np.float32))), [[0.5, 0.5, 0]])


def test_a_wrong_weight_is_named() -> None:
    weights = random_weights(SHAPE)
    del weights["final_norm"]
    with pytest.raises(ConfigError, match="final_norm"):
        Decoder(SHAPE, weights)
    with pytest.raises(ConfigError, match=r"tokens should be \(300, 16\)"):
        Decoder(SHAPE, random_weights(SHAPE) | {"tokens": np.zeros((299, 16), np.float32)})


def test_wrong_inputs_are_refused() -> None:
    decoder = Decoder(SHAPE, random_weights(SHAPE))
    with pytest.raises(InvalidArgument, match=r"\(n, 12\)"):
        decoder.begin(unit_rows(2, 11))
    with pytest.raises(InvalidArgument, match="corrector"):
        decoder.begin(unit_rows(2, 12), np.full((2, 3), 5), unit_rows(2, 12))
