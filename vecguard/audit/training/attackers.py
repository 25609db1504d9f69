"""Trains the text inverters for an embedder: vocabulary, base, hypotheses, corrector, bag of words, in one folder.

Every step leaves its result in the folder and is skipped where that is there, so a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field

from vecguard.audit.inverter.architecture import Architecture
from vecguard.audit.inverter.bag_of_words import BagOfWordsInverter, FitPlan
from vecguard.audit.inverter.checkpoint import Card, save
from vecguard.audit.inverter.decoder import Decoder
from vecguard.audit.inverter.vocabulary import END, SMALLEST, Vocabulary
from vecguard.audit.training.batches import TokenisedTexts
from vecguard.audit.training.corrector import corrector_of
from vecguard.audit.training.hypothesise import Embed, hypothesise
from vecguard.audit.training.neighbours import nearest_others
from vecguard.audit.training.network import InverterNetwork
from vecguard.audit.training.pairs import Hypotheses, Pairs
from vecguard.audit.training.plan import Plan
from vecguard.audit.training.run import Point, Run
from vecguard.errors import InvalidArgument

Floats = npt.NDArray[np.float32]
Report = Callable[[str, str], None]

CHECKPOINT = "inverter.npz"
BAG_OF_WORDS = "bag_of_words.npz"
VOCABULARY = "vocabulary.json"
BEGUN = "begun.json"
SMALLEST_SET = 200


class Training(BaseModel):
    """Sizes and plans of all steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(default=8192, ge=SMALLEST)
    width: int = Field(default=256, ge=1)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    base: Plan = Plan()
    corrector: Plan = Plan().correcting()
    hypotheses: int = Field(default=30_000, ge=0, description="texts that the base writes for the corrector's training")
    neighbours: int = Field(default=60_000, ge=0, description="nearest texts that the corrector is trained on as well")
    seed: int = 7


@dataclass(frozen=True)
class Material:
    """The attacker's pairs: texts and their unit embeddings float32 (n, dims), for training and for validation."""

    texts: Sequence[str]
    embeddings: Floats
    valid_texts: Sequence[str]
    valid_embeddings: Floats

    def __post_init__(self) -> None:
        if len(self.texts) < SMALLEST_SET or not len(self.valid_texts):
            raise InvalidArgument(
                f"training wants at least {SMALLEST_SET} texts and some for validation, "
                f"got {len(self.texts)} and {len(self.valid_texts)}"
            )


@dataclass(frozen=True)
class About:
    """Names that go on the card: of the embedder, of the data, and of the data's licences."""

    embedder: str
    trained_on: str
    licences: str = ""


class Attackers:
    """One training of all inverters, in `folder`."""

    def __init__(self, material: Material, embed: Embed, folder: Path, training: Training, about: About) -> None:
        """`embed` gives the embedder's unit embeddings; `about` is for the card.

        Raises:
            InvalidArgument: the folder holds a training of other texts, another embedder or another network.
        """
        self.material, self.embed, self.folder, self.training, self.about = material, embed, folder, training, about
        folder.mkdir(parents=True, exist_ok=True)
        self._begin()
        self.vocabulary = self._vocabulary()
        self._encoded = self.vocabulary.encode(list(material.texts))
        self._valid_encoded = self.vocabulary.encode(list(material.valid_texts))

    def train(self, report: Report) -> Card:
        """All steps; `report` is told the step and what is new. Returns the card of the finished checkpoint."""
        self.bag_of_words(report)
        base = self.base(report)
        self.save(base, None)
        corrector = None
        if self.training.hypotheses + self.training.neighbours:
            corrector = self.corrector(base, report)
        return self.save(base, corrector)

    def bag_of_words(self, report: Report) -> BagOfWordsInverter:
        """Fits the bag of words, and keeps it."""
        path = self.folder / BAG_OF_WORDS
        if path.exists():
            return BagOfWordsInverter.open(path)
        plan = FitPlan(vocabulary=self.training.vocabulary, seed=self.training.seed)
        fitted = BagOfWordsInverter.fit(
            self.material.embeddings,
            self.material.texts,
            plan,
            lambda epoch, loss: report("bag of words", f"epoch {epoch + 1}: {loss:.2f} nats a text"),
        )
        fitted.save(path)
        return fitted

    def base(self, report: Report) -> InverterNetwork:
        """Trains the base."""
        torch.manual_seed(self.training.seed)
        network = InverterNetwork(
            Architecture(
                dims=self.material.embeddings.shape[1],
                vocabulary=len(self.vocabulary),
                width=self.training.width,
                layers=self.training.layers,
                heads=self.training.heads,
                feed=4 * self.training.width,
            )
        )
        folder = self.folder / "base"
        if not folder.exists():
            network.start_from_words(*self._spelled())
        train = Pairs(self._tokenised(self._encoded), self.material.embeddings)
        valid = Pairs(self._tokenised(self._valid_encoded), self.material.valid_embeddings)
        Run(network, train, valid, self.training.base, folder).train(told("base", report))
        return network

    def corrector(self, base: InverterNetwork, report: Report) -> InverterNetwork:
        """Has the base write hypotheses, and trains the corrector on them and on neighbours."""
        torch.manual_seed(self.training.seed)
        decoder = decoder_of(base)
        count = min(self.training.hypotheses, len(self._encoded))
        order = np.random.default_rng(self.training.seed).permutation(len(self._encoded))
        written = self._written(decoder, self.material.embeddings[order[:count]], "hypotheses", report)
        others = order[count : count + self.training.neighbours]
        near = nearest_others(others, self.material.embeddings)
        rows = np.concatenate([order[:count], others])
        train = Pairs(
            self._tokenised([self._encoded[row] for row in rows]),
            self.material.embeddings[rows],
            Hypotheses(
                [*written.tokens, *(self._encoded[row] for row in near)],
                np.concatenate([written.embeddings, self.material.embeddings[near]]),
            ),
        )
        valid = Pairs(
            self._tokenised(self._valid_encoded),
            self.material.valid_embeddings,
            self._written(decoder, self.material.valid_embeddings, "validation hypotheses", report),
        )
        network = corrector_of(base)
        Run(network, train, valid, self.training.corrector, self.folder / "corrector").train(told("corrector", report))
        return network

    def save(self, base: InverterNetwork, corrector: InverterNetwork | None) -> Card:
        """Writes the checkpoint that GenerativeInverter opens."""
        card = Card(
            embedder=self.about.embedder,
            trained_on=self.about.trained_on,
            licences=self.about.licences,
            seed=self.training.seed,
            base=base.shape,
            corrector=None if corrector is None else corrector.shape,
        )
        weights = None if corrector is None else weights_of(corrector)
        return save(self.folder / CHECKPOINT, card, self.vocabulary, weights_of(base), weights)

    def _begin(self) -> None:
        """Writes down what must stay the same when a training goes on, or holds it to what is written."""
        texts = hashlib.sha256("\0".join(self.material.texts).encode()).hexdigest()
        sizes = self.training.model_dump(include={"vocabulary", "width", "layers", "heads", "seed"})
        now = {"embedder": self.about.embedder, "texts": texts, **sizes}
        path = self.folder / BEGUN
        if not path.exists():
            path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        if changed:
            raise InvalidArgument(
                f"{self.folder} holds a training with other {', '.join(changed)}: take another folder"
            )

    def _vocabulary(self) -> Vocabulary:
        path = self.folder / VOCABULARY
        if not path.exists():
            path.write_text(Vocabulary.train(self.material.texts, self.training.vocabulary).to_json(), encoding="utf-8")
        return Vocabulary.from_json(path.read_text(encoding="utf-8"))

    def _tokenised(self, encoded: Sequence[Sequence[int]]) -> TokenisedTexts:
        return TokenisedTexts(encoded, Architecture.model_fields["length"].default - 1)

    def _spelled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Each token's own embedding, and the share of texts that hold it (add-half smoothing)."""
        spellings = self.vocabulary.spellings()
        known = [token for token, text in enumerate(spellings) if text]
        spelled = np.zeros((len(spellings), self.material.embeddings.shape[1]), dtype=np.float32)
        spelled[known] = self.embed([spellings[token] for token in known])
        held = np.full(len(spellings), 0.5)
        for ids in self._encoded:
            held[list(set(ids))] += 1
        held[END] = len(self._encoded)
        return torch.from_numpy(spelled), torch.from_numpy((held / (len(self._encoded) + 1)).astype(np.float32))

    def _written(self, decoder: Decoder, embeddings: Floats, step: str, report: Report) -> Hypotheses:
        return hypothesise(
            lambda: (decoder, self.vocabulary),
            self.embed,
            embeddings,
            self.folder / "hypotheses",
            self.training.seed,
            lambda done: report(step, f"{done:,} of {len(embeddings):,}"),
        )


def weights_of(network: InverterNetwork) -> dict[str, Floats]:
    """The network's weights for the numpy decoder."""
    return {name: weight.numpy() for name, weight in network.state_dict().items()}


def decoder_of(network: InverterNetwork) -> Decoder:
    """The numpy decoder with the network's weights."""
    return Decoder(network.shape, weights_of(network))


def told(step: str, report: Report) -> Callable[[Plan, Point], None]:
    """Makes a report of each point of a training curve."""

    def tell(plan: Plan, point: Point) -> None:
        share = plan.progress(point.step, point.minutes)
        report(
            step,
            f"{share:.0%}, step {point.step:,}, {point.minutes:.0f} min: loss {point.train_tokens:.3f}, "
            f"validation {point.valid_tokens:.3f} nats a token",
        )

    return tell


def use_threads(count: int) -> None:
    """How many threads torch computes with."""
    torch.set_num_threads(count)
