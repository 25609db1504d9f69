"""Losses of the generative inverter, over a part of the vocabulary in training and over all of it in validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vecguard.audit.training.network import InverterNetwork, Reading


@dataclass(frozen=True)
class Columns:
    """A part of the vocabulary that stands for the whole.

    `numbers` int64 (c,) are the tokens, sorted; `weight` float32 (c,) how many tokens each stands for: 1 for those
    of the batch, and (others in the vocabulary) / (drawn) for those drawn uniformly from the others. A weighted sum
    over them estimates the sum over the vocabulary without bias, so its logarithm is nearly the softmax's
    denominator (importance sampling: Bengio & Senecal 2008).
    """

    numbers: Tensor
    weight: Tensor

    @classmethod
    def draw(cls, targets: Tensor, vocabulary: int, drawn: int, chance: torch.Generator) -> Columns:
        """All tokens of `targets` and `drawn` of the others; all of the vocabulary where that is as many."""
        present = torch.zeros(vocabulary, dtype=torch.bool)
        present[targets.reshape(-1)] = True
        others = torch.nonzero(~present).reshape(-1)
        weight = torch.ones(vocabulary)
        if drawn < len(others):
            chosen = others[torch.randperm(len(others), generator=chance)[:drawn]]
            weight[chosen] = len(others) / drawn
            present[chosen] = True
        else:
            present[:] = True
        numbers = torch.nonzero(present).reshape(-1)
        return cls(numbers, weight[numbers])


@dataclass(frozen=True)
class Losses:
    """Mean negative log-likelihood a token, and binary cross-entropy of the word evidence a text, in nats."""

    tokens: Tensor
    words: Tensor


def losses(network: InverterNetwork, reading: Reading, states: Tensor, targets: Tensor, columns: Columns) -> Losses:
    """Losses of predicting `targets` (rows, length) from `states` (rows, length, width)."""
    logits = network.logits(states, reading, columns.numbers) + columns.weight.log()
    places = torch.searchsorted(columns.numbers, targets)
    tokens = functional.cross_entropy(logits.flatten(0, 1), places.reshape(-1))
    held = torch.zeros(len(targets), len(columns.numbers)).scatter_(1, places, 1.0)
    word_logits = network.word_logits(reading, columns.numbers)
    words = functional.binary_cross_entropy_with_logits(word_logits, held, weight=columns.weight, reduction="sum")
    return Losses(tokens, words / len(targets))
