"""The generative inverter: writes the text behind an embedding, in up to four stages.

1. base: beam search of a decoder conditioned on the embedding (GEIA, Li et al. 2023; Vec2Text's first stage, Morris et
   al. 2023);
2. with the embedder: beams and drawn texts are embedded, and the one closest to the target by cosine is kept;
3. corrector: the best texts so far are revised given the target, their own embeddings and the difference (Vec2Text,
   section 4); what it writes is embedded in turn;
4. edits: words of the best text are left out, put in and exchanged, led by the word evidence and, where there is one,
   by a lexicon of single words' embeddings (vecguard/audit/inverter/edits.py, lexicon.py).

The best cosine never falls from round to round.

Text comes out in lower case. Needs numpy and tokenizers only; training is in vecguard/audit/training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from vecguard.audit.inverter.bag_of_words import words_of
from vecguard.audit.inverter.beam import Draft, beam_search, sample
from vecguard.audit.inverter.candidates import Candidate, Candidates, Embed
from vecguard.audit.inverter.checkpoint import Checkpoint, open_checkpoint
from vecguard.audit.inverter.decoder import Decoder, Writing
from vecguard.audit.inverter.edits import Editor
from vecguard.audit.inverter.lexicon import Lexicon
from vecguard.audit.inverter.vocabulary import END, PAD

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Rows that are written at the same time: some hundred keep the matrix products busy and the caches small.
TOGETHER = 256
PACKAGED = "minilm.npz"


class Search(BaseModel):
    """How hard the attacker looks; without an embedder only `beams` counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beams: int = Field(default=28, ge=1, description="of the base's beam search")
    drawn: int = Field(default=0, ge=0, description="texts drawn from the base beside its beams")
    heat: float = Field(default=0.7, gt=0, description="temperature of the drawing")
    rounds: int = Field(default=1, ge=0, description="of the corrector, where there is one")
    revised: int = Field(default=1, ge=1, description="best texts that are revised in a round")
    revisions: int = Field(default=4, ge=1, description="beams of the corrector for each of them")
    edits: int = Field(default=2, ge=0, description="rounds of edits of the best text, at most 28 of them a round")
    named: int = Field(default=6, ge=0, description="words of the lexicon that are tried in a round, 6 edits for each")
    seed: int = 7


class GenerativeInverter:
    """Inverts unit embeddings (n, dims) of the embedder that the checkpoint was trained for."""

    name = "generative"

    def __init__(
        self,
        checkpoint: Checkpoint,
        embed: Embed | None = None,
        search: Search | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        """`embed` gives unit embeddings float32 (m, dims) of m texts: the attacker's copy of the public embedder."""
        self.checkpoint = checkpoint
        self.lexicon = lexicon
        self.search = search or Search()
        self._embed = embed
        self._longest = checkpoint.card.base.length - 1
        self._editor = Editor(checkpoint.vocabulary)

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        embed: Embed | None = None,
        search: Search | None = None,
        lexicon: Lexicon | None = None,
    ) -> Self:
        """Opens a checkpoint (`.npz` with its card beside it); without a path the packaged one, for MiniLM.

        Raises:
            ConfigError: it is missing, damaged or of another format, or `tokenizers` is not installed.
        """
        if path is None:
            path = Path(str(files("vecguard.audit.inverter"))) / PACKAGED
        return cls(open_checkpoint(path), embed, search, lexicon)

    def invert(self, embeddings: Floats, /) -> list[str]:
        """A text for each row of `embeddings`, float32 (n, dims).

        Raises:
            InvalidArgument: another number of dimensions than the checkpoint's.
        """
        return self.stages(embeddings)[-1][1]

    def stages(self, embeddings: Floats, report: Callable[[str], None] | None = None) -> list[tuple[str, list[str]]]:
        """What is known after each stage, in their order: the stage's name and a text for each row."""
        unit = _unit(embeddings)
        drafts = self._beams(unit, self.search.beams)
        found = [("beam", self._texts([row[0] for row in drafts]))]
        if self._embed is None:
            return found
        candidates = Candidates(unit, self._embed, self.search.revised)
        for stage in self._improve(candidates, drafts):
            found.append((stage, candidates.texts()))
            if report is not None:
                report(stage)
        return found

    def _improve(self, candidates: Candidates, drafts: list[list[Draft]]) -> Iterator[str]:
        """Adds candidates, and says after which stage."""
        rows = [row for row, several in enumerate(drafts) for _ in several]
        candidates.add(rows, self._texts([draft for several in drafts for draft in several]))
        candidates.add(*self._drawn(candidates.targets))
        yield "reranked"
        corrector = self.checkpoint.corrector
        if corrector is not None:
            for number in range(self.search.rounds):
                candidates.add(*self._revisions(candidates, corrector))
                yield f"corrected {number + 1}"
        chance = np.random.default_rng(self.search.seed)
        for number in range(self.search.edits):
            candidates.add(*self._edits(candidates, chance))
            yield f"edited {number + 1}"

    def greedy(self, embeddings: Floats, /) -> list[str]:
        """The base's likeliest token at every position: the weakest stage, for comparison."""
        return self._texts([row[0] for row in self._beams(_unit(embeddings), 1)])

    def _beams(self, unit: Floats, beams: int) -> list[list[Draft]]:
        base = self.checkpoint.base
        found: list[list[Draft]] = []
        for rows in _parts(len(unit), max(1, TOGETHER // beams)):
            found += beam_search(base, base.begin(unit[rows]), beams, self._longest)
        return found

    def _drawn(self, unit: Floats) -> tuple[list[int], list[str]]:
        base = self.checkpoint.base
        chance = np.random.default_rng(self.search.seed)
        rows: list[int] = []
        drafts: list[Draft] = []
        for part in _parts(len(unit), max(1, TOGETHER // max(1, self.search.drawn))) if self.search.drawn else []:
            repeated = np.repeat(part, self.search.drawn)
            drafts += sample(base, base.begin(unit[repeated]), self._longest, chance, self.search.heat)
            rows += repeated.tolist()
        return rows, self._texts(drafts)

    def _revisions(self, candidates: Candidates, corrector: Decoder) -> tuple[list[int], list[str]]:
        """What the corrector makes of the best candidates of every row."""
        work = [
            (row, candidate)
            for row in range(len(candidates.targets))
            for candidate in candidates.best(row, self.search.revised)
        ]
        rows: list[int] = []
        drafts: list[Draft] = []
        for part in _parts(len(work), max(1, TOGETHER // self.search.revisions)):
            some = [work[place] for place in part]
            writing = self._hearing(corrector, candidates.targets[[row for row, _ in some]], [one for _, one in some])
            for (row, _), several in zip(
                some, beam_search(corrector, writing, self.search.revisions, self._longest), strict=True
            ):
                drafts += several
                rows += [row] * len(several)
        return rows, self._texts(drafts)

    def _edits(self, candidates: Candidates, chance: np.random.Generator) -> tuple[list[int], list[str]]:
        """Texts one change away from the best one of every row that has any."""
        best = [(row, *candidates.best(row, 1)) for row in range(len(candidates.targets)) if candidates.best(row, 1)]
        rows: list[int] = []
        texts: list[str] = []
        for part in _parts(len(best), TOGETHER):
            some = [best[place] for place in part]
            target = self.checkpoint.base.word_evidence(candidates.targets[[row for row, _ in some]])
            own = self.checkpoint.base.word_evidence(np.stack([one.embedding for _, one in some]))
            for (row, one), wanted, had in zip(some, target, own, strict=True):
                edits = self._editor.edits(one.text, wanted, had, chance, self._named(candidates.targets[row], one))
                texts += edits
                rows += [row] * len(edits)
        return rows, texts

    def _named(self, target: Floats, best: Candidate) -> list[str]:
        """Words of the lexicon that the best text of a target lacks most."""
        if self.lexicon is None:
            return []
        return self.lexicon.lacking(target, best.embedding, frozenset(words_of(best.text)), self.search.named)

    def _hearing(self, corrector: Decoder, targets: Floats, hypotheses: Sequence[Candidate]) -> Writing:
        encoded = self.checkpoint.vocabulary.encode([hypothesis.text for hypothesis in hypotheses])
        found = np.stack([hypothesis.embedding for hypothesis in hypotheses])
        return corrector.begin(targets, padded(encoded, self._longest), found)

    def _texts(self, drafts: Sequence[Draft]) -> list[str]:
        return self.checkpoint.vocabulary.decode([draft.tokens for draft in drafts])


def padded(encoded: Sequence[Sequence[int]], longest: int) -> Ints:
    """int64 (n, any): each text cut at `longest` - 1 tokens, then END, then PAD: as a corrector reads hypotheses."""
    cut = [[*ids[: longest - 1], END] for ids in encoded]
    filled = np.full((len(cut), max(map(len, cut), default=0)), PAD, dtype=np.int64)
    for place, ids in enumerate(cut):
        filled[place, : len(ids)] = ids
    return filled


def _unit(embeddings: Floats) -> Floats:
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    scaled: Floats = (embeddings / np.maximum(norms, np.float32(1e-12))).astype(np.float32)
    return scaled


def _parts(count: int, size: int) -> list[Ints]:
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
