"""Trains a learned projection (`vecguard.transform.learned`) on a sample of embeddings.

The network is a player in a game against an inverter, which is trained at the same time:

- *ranking*: in each group of records, every record's similarities to the others are to give the same distribution after
  the projection as before it (Kullback-Leibler divergence of two softmaxes: distillation of the neighbour ranking, as
  in Passalis & Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018);
- *inverter*: a regression from the projection back to the embedding. It descends its error; the projection ascends it,
  by reversal of the gradient between them (Ganin & Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML
  2015), times `against`.

With `private`, training is DP-SGD (Abadi et al., CCS 2016) by Opacus. The unit of privacy is one vector of the sample,
present or not. A ranking needs others to rank, so that a vector must not count in the examples of several: the sample
is dealt to disjoint groups by a permutation that does not depend on it, a group that lacks a vector is left out, and an
*example* of DP-SGD is a whole group; one vector more or less is one example more or less, which is what Opacus accounts
for. The inverter learns from the same records and what it knows flows into the projection, so that gradients of both
players are clipped together and get noise together. Beginnings are random, and no statistic of the sample is used.
Opacus draws batches and noise from PyTorch's generator, which is no cryptographic one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.accountants import PRVAccountant, RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, normalize, softmax

from vecguard.errors import InvalidArgument
from vecguard.transform.base import Floats
from vecguard.transform.learned import Layers, Privacy

FEWEST_GROUPS: Final = 16
_ATTACKER_WIDTH: Final = 256


@dataclass(frozen=True, slots=True)
class DpPlan:
    """(ε, δ) that the training may spend, and the norm to which the gradient of one group is clipped."""

    epsilon: float
    delta: float
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """What to train. `hidden`: units of a hidden layer, 0 for a linear projection. `against`: weight of the inverter's
    error in the projection's loss. `group`: records that are ranked among each other. `batch`: groups a step, on
    average with `private`. `heat`: temperature of the softmaxes over cosines."""

    dims: int
    hidden: int = 0
    against: float = 0.1
    steps: int = 1_500
    group: int = 64
    batch: int = 4
    rate: float = 2e-3
    heat: float = 0.05
    seed: int = 0
    private: DpPlan | None = None


@dataclass(frozen=True)
class Trained:
    """The projection's layers, the privacy of its training, and the last tenth's mean losses (nats; 1 - cosine)."""

    layers: Layers
    privacy: Privacy | None
    ranking: float
    inverting: float


class Reversed(torch.autograd.Function):
    """The identity, whose gradient comes back times minus `weight`."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: float) -> Tensor:
        """x itself."""
        context.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """-weight times the gradient."""
        return -context.weight * gradients[0], None


class Game(nn.Module):
    """The projection, and the inverter that plays against it."""

    def __init__(self, dims: int, plan: AdapterPlan) -> None:
        super().__init__()
        self._against = plan.against
        widths = [dims, plan.hidden, plan.dims] if plan.hidden else [dims, plan.dims]
        linear = [nn.Linear(*pair) for pair in pairwise(widths)]
        for layer in linear:
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(linear)
        self.inverter = nn.Sequential(
            nn.Linear(plan.dims, _ATTACKER_WIDTH), nn.ReLU(), nn.Linear(_ATTACKER_WIDTH, dims)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Groups of unit vectors (b, g, d) to their projections, of unit length, (b, g, m), and the inverter's guesses
        (b, g, d)."""
        y = x
        for place, layer in enumerate(self.layers):
            y = layer(torch.relu(y) if place else y)
        y = normalize(y, dim=-1)
        guess: Tensor = self.inverter(Reversed.apply(y, self._against))  # type: ignore[no-untyped-call]
        return y, guess


def train_adapter(
    sample: Floats, plan: AdapterPlan, report: Callable[[int, float, float], None] | None = None
) -> Trained:
    """Train on a sample (n, d) float32 of embeddings; their lengths do not count.

    `report` hears of every step: its number, and the means of ranking and inverter's losses.

    Raises:
        InvalidArgument: too few vectors, one without length, more dimensions than there are, or privacy that cannot be
            had in so many steps.
    """
    groups = _groups(sample, plan)
    torch.manual_seed(plan.seed)
    game = Game(sample.shape[1], plan)
    learner = _private(game, len(groups), plan) if plan.private else _plain(game, plan)
    seen: list[tuple[float, float]] = []
    for step, rows in enumerate(_batches(len(groups), plan)):
        ranking, inverting = learner.step(groups[rows])
        if report is not None:
            report(step + 1, ranking, inverting)
        seen.append((ranking, inverting))
    last = np.array(seen[-max(1, plan.steps // 10) :]).mean(axis=0)
    layers = tuple((_array(layer.weight), _array(layer.bias)) for layer in game.layers)  # type: ignore[arg-type]
    return Trained(layers, learner.privacy, float(last[0]), float(last[1]))


def losses(x: Tensor, y: Tensor, guess: Tensor, heat: float) -> tuple[Tensor, Tensor]:
    """Of each group (b,): the ranking's divergence in nats a record, and the inverter's 1 - cosine.

    x (b, g, d) and y (b, g, m) are of unit length; a record is not compared with itself.
    """
    itself = torch.eye(x.shape[1], dtype=torch.bool)
    clear = (x @ x.mT / heat).masked_fill(itself, -math.inf)
    kept = (y @ y.mT / heat).masked_fill(itself, -math.inf)
    # -inf minus -inf is no number: the diagonal has probability 0 and is taken out.
    divergence = kl_div(log_softmax(kept, -1).masked_fill(itself, 0.0), softmax(clear, -1), reduction="none")
    ranking = divergence.masked_fill(itself, 0.0).sum(-1).mean(-1)
    return ranking, (1.0 - torch.cosine_similarity(guess, x, dim=-1)).mean(-1)


class _Learner:
    """Steps of one optimizer over both players."""

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, plan: AdapterPlan, privacy: Privacy | None
    ) -> None:
        self._module, self._optimizer, self._plan, self.privacy = module, optimizer, plan, privacy

    def step(self, x: Tensor) -> tuple[float, float]:
        """One step on groups (b, g, d); the means of both losses, (0, 0) for no group."""
        self._optimizer.zero_grad()
        y, guess = self._module(x)
        ranking, inverting = losses(x, y, guess, self._plan.heat)
        # Of the sum, as DPOptimizer divides by the expected number of groups itself.
        total = (ranking + inverting).sum() if self.privacy else (ranking + inverting).mean()
        total.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return (float(ranking.detach().mean()), float(inverting.detach().mean())) if len(x) else (0.0, 0.0)


def _plain(game: Game, plan: AdapterPlan) -> _Learner:
    return _Learner(game, torch.optim.Adam(game.parameters(), lr=plan.rate), plan, None)


def _private(game: Game, groups: int, plan: AdapterPlan) -> _Learner:
    asked = plan.private
    assert asked is not None  # noqa: S101 - the caller looked
    rate = plan.batch / groups
    noise = _noise_multiplier(asked, rate, plan.steps)
    optimizer = DPOptimizer(
        torch.optim.Adam(game.parameters(), lr=plan.rate),
        noise_multiplier=noise,
        max_grad_norm=asked.clip,
        expected_batch_size=plan.batch,
        loss_reduction="sum",
    )
    spent = {"rdp": RDPAccountant(), "prv": PRVAccountant()}
    for accountant in spent.values():
        accountant.history = [(noise, rate, plan.steps)]
    epsilon = {name: float(accountant.get_epsilon(asked.delta)) for name, accountant in spent.items()}
    privacy = Privacy(epsilon["rdp"], epsilon["prv"], asked.delta, noise, asked.clip, rate, plan.steps)
    return _Learner(GradSampleModule(game, loss_reduction="sum"), optimizer, plan, privacy)


def _noise_multiplier(asked: DpPlan, rate: float, steps: int) -> float:
    """Deviation of the noise in clip norms, so that ε by the Rényi accountant, the looser one, is as asked for."""
    try:
        return float(
            get_noise_multiplier(
                target_epsilon=asked.epsilon,
                target_delta=asked.delta,
                sample_rate=rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=0.01 * asked.epsilon,
            )
        )
    except ValueError as fault:
        raise InvalidArgument(f"epsilon {asked.epsilon:g} cannot be had in {steps:,} steps: {fault}") from None


def _groups(sample: Floats, plan: AdapterPlan) -> Tensor:
    """(n / g, g, d): the sample, normalised, in disjoint groups of an order that does not depend on it."""
    rows, dims = sample.shape
    if not 1 <= plan.dims <= dims:
        raise InvalidArgument(f"{plan.dims} dimensions of vectors that have {dims}: name 1 to {dims}")
    count = rows // plan.group
    if count < max(FEWEST_GROUPS, plan.batch):
        needed = plan.group * max(FEWEST_GROUPS, plan.batch)
        raise InvalidArgument(f"{rows} vectors are too few to train on in groups of {plan.group}: give {needed}")
    lengths = np.linalg.norm(sample, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InvalidArgument("the sample holds a vector without length, or a number that is not finite")
    order = np.random.default_rng(plan.seed).permutation(rows)[: count * plan.group]
    unit = (sample / lengths)[order].astype(np.float32)
    return torch.from_numpy(unit.reshape(count, plan.group, dims))


def _batches(groups: int, plan: AdapterPlan) -> Iterator[Tensor]:
    """Rows of the groups of every step: Poisson samples with `private`, else a random few."""
    chance = torch.Generator().manual_seed(plan.seed)
    for _ in range(plan.steps):
        if plan.private:
            yield torch.nonzero(torch.rand(groups, generator=chance) < plan.batch / groups).flatten()
        else:
            yield torch.randperm(groups, generator=chance)[: plan.batch]


def _array(parameter: Tensor) -> Floats:
    return np.asarray(parameter.detach().numpy(), np.float32)
