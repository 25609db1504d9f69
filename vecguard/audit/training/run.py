"""One training run: steps, validation, a curve in CSV, checkpoints from which it resumes, early stop."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from vecguard.audit.training.losses import Columns, Losses, losses
from vecguard.audit.training.muon import Muon
from vecguard.audit.training.network import InverterNetwork, Reading
from vecguard.audit.training.pairs import Pairs, TensorBatch
from vecguard.audit.training.plan import Plan

CURVE = "curve.csv"
STATE = "state.pt"
BEST = "best.pt"


@dataclass(frozen=True)
class Point:
    """One line of the curve: losses in nats, a token and a text; the training ones since the line before."""

    step: int
    epoch: int
    minutes: float
    train_tokens: float
    train_words: float
    valid_tokens: float
    valid_words: float


@dataclass
class Place:
    """How far a run has come."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    minutes: float = 0.0
    best: float = float("inf")
    worse: int = 0


class Run:
    """Trains `network` on `pairs` in `folder`; continues there where an earlier run of the same plan stopped."""

    def __init__(self, network: InverterNetwork, pairs: Pairs, validation: Pairs, plan: Plan, folder: Path) -> None:
        self.network, self.pairs, self.validation, self.plan, self.folder = network, pairs, validation, plan, folder
        learnt = [weight for weight in network.parameters() if weight.requires_grad]
        blocks = [weight for weight in network.blocks.parameters() if weight.ndim == 2]
        others = [weight for weight in learnt if all(weight is not block for block in blocks)]
        self.optimisers = [
            Muon(blocks, plan.block_rate),
            torch.optim.AdamW(others, plan.table_rate, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self.rates = (plan.block_rate, plan.table_rate)
        self.chance = torch.Generator().manual_seed(plan.seed)
        self.place = Place()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE).exists():
            self._resume()

    def train(self, report: Callable[[Plan, Point], None]) -> None:
        """Runs to the end of the plan; afterwards the network holds the weights of the best validation."""
        sums = torch.zeros(3)
        while not self._finished():
            shuffle = np.random.default_rng([self.plan.seed, self.place.epoch])
            order = self.pairs.texts.order(self.plan.batch_tokens, shuffle)
            for rows in order[self.place.batch :]:
                began = time.monotonic()
                sums += self._step(self.pairs.batch(rows, self.network.shape.length))
                self.place.step += 1
                self.place.batch += 1
                self.place.minutes += (time.monotonic() - began) / 60
                ended = self._finished()
                if ended or self.place.step % self.plan.validate_every == 0:
                    report(self.plan, self._validate(sums))
                    sums.zero_()
                    if ended or self._finished():
                        break
            else:
                self.place.epoch, self.place.batch = self.place.epoch + 1, 0
        self.network.load_state_dict(torch.load(self.folder / BEST, weights_only=True))

    def _finished(self) -> bool:
        done = self.plan.progress(self.place.step, self.place.minutes) >= 1
        return done or self.place.worse >= self.plan.patience

    def _step(self, batch: TensorBatch) -> Tensor:
        pace = self.plan.pace(self.plan.progress(self.place.step, self.place.minutes))
        for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * pace
            optimiser.zero_grad()
        columns = Columns.draw(batch.tokens[:, 1:], self.network.shape.vocabulary, self.plan.drawn_tokens, self.chance)
        found = self._losses(batch, columns, self.plan.jitter)
        (found.tokens + self.plan.evidence_weight * found.words).backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        return torch.stack([found.tokens.detach(), found.words.detach(), torch.ones(())])

    def _losses(self, batch: TensorBatch, columns: Columns, jitter: float) -> Losses:
        embeddings = batch.embeddings
        if jitter:
            noise = torch.randn(embeddings.shape, generator=self.chance) * (jitter / embeddings.shape[1] ** 0.5)
            embeddings = torch.nn.functional.normalize(embeddings + noise, dim=1)
        reading: Reading = self.network.read(embeddings, batch.hypothesis_embeddings)
        states = self.network(reading, batch.tokens[:, :-1], batch.hypothesis)
        return losses(self.network, reading, states, batch.tokens[:, 1:].contiguous(), columns)

    @torch.no_grad()
    def _validate(self, sums: Tensor) -> Point:
        """Losses over the whole vocabulary, mean over tokens and over texts; saves the state and the best weights."""
        whole = self.network.shape.vocabulary
        every = Columns(torch.arange(whole), torch.ones(whole))
        token_sum = word_sum = token_count = 0.0
        for batch in self.validation.batches(self.plan.batch_tokens, self.network.shape.length, None):
            found = self._losses(batch, every, 0.0)
            size = batch.tokens[:, 1:].numel()
            token_sum += float(found.tokens) * size
            word_sum += float(found.words) * len(batch.tokens)
            token_count += size
        train = (sums / sums[2]).tolist()
        valid = (token_sum / token_count, word_sum / len(self.validation.texts))
        place = self.place
        point = Point(place.step, place.epoch, round(place.minutes, 2), train[0], train[1], *valid)
        place.worse = 0 if valid[0] < place.best else place.worse + 1
        if valid[0] < place.best:
            place.best = valid[0]
            save(self.network.state_dict(), self.folder / BEST)
        self._write(point)
        return point

    def _write(self, point: Point) -> None:
        curve = self.folder / CURVE
        fresh = not curve.exists()
        with curve.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(field.name for field in fields(Point))
            writer.writerow(f"{value:.4f}" if isinstance(value, float) else value for value in asdict(point).values())
        state = {
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "chance": self.chance.get_state(),
            "place": asdict(self.place),
            "plan": self.plan.model_dump(),
        }
        save(state, self.folder / STATE)

    def _resume(self) -> None:
        state = torch.load(self.folder / STATE, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.chance.set_state(state["chance"])
        self.place = Place(**state["place"])


def save(state: object, path: Path) -> None:
    """Writes `path` whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    os.replace(unfinished, path)
