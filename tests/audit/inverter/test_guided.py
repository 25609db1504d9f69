"""Search with the embedder: the best candidate is kept, and no round makes it worse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from inverter.test_checkpoint import TEXTS, saved
from inverter.test_decoder import SHAPE, random_weights, unit_rows

from vecguard.audit.inverter.candidates import Candidates
from vecguard.audit.inverter.decoder import Floats
from vecguard.audit.inverter.edits import Editor, Width
from vecguard.audit.inverter.generative import GenerativeInverter, Search
from vecguard.audit.inverter.lexicon import Lexicon
from vecguard.audit.inverter.vocabulary import Vocabulary
from vecguard.errors import InvalidArgument


class LetterEmbedder:
    """Letter counts on fixed random directions: any two texts of other letters have other embeddings."""

    def __init__(self, dims: int) -> None:
        self.directions = np.random.default_rng(3).normal(size=(128, dims))
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.seen += texts
        rows = np.stack(
            [self.directions[0] + sum(self.directions[ord(letter) % 128] for letter in text) for text in texts]
        )
        unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit


def test_the_best_are_kept_and_nothing_is_embedded_twice() -> None:
    embed = LetterEmbedder(12)
    targets = embed(["river", "stone"])
    embed.seen.clear()
    candidates = Candidates(targets * 3, embed, 2)
    candidates.add([0, 0, 0, 1], ["rover", "zzz", "rivers", "zzz"])
    candidates.add([0, 0, 1], ["zzz", "river", "zzz"])
    assert sorted(embed.seen) == ["river", "rivers", "rover", "zzz"]
    assert candidates.texts() == ["river", "zzz"]
    assert candidates.cosines()[0] == pytest.approx(1.0, abs=1e-5)
    assert len(candidates.best(0, 9)) == 2
    assert candidates.best(1, 9)[0].cosine == pytest.approx(float(embed(["zzz"])[0] @ targets[1]), abs=1e-5)


def test_an_embedder_of_other_dims_is_refused() -> None:
    candidates = Candidates(unit_rows(1, 8), LetterEmbedder(12), 2)
    with pytest.raises(InvalidArgument, match="8 dims"):
        candidates.add([0], ["river"])
    candidates.add([0], [""])
    assert candidates.texts() == [""]
    assert candidates.cosines().tolist() == [-1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights: the search must hold to its promises whatever it is guided through."""
    vocabulary = Vocabulary.train(TEXTS, SHAPE.vocabulary)
    correcting = SHAPE.model_copy(update={"vocabulary": len(vocabulary), "corrects": True})
    return saved(tmp_path_factory.mktemp("untrained"), vocabulary, random_weights(correcting, seed=5))


def test_no_stage_lowers_the_cosine(checkpoint: Path) -> None:
    embed = LetterEmbedder(12)
    targets = embed(TEXTS[:2])
    inverter = GenerativeInverter.open(checkpoint, embed, Search(beams=3, drawn=2, rounds=2, edits=2))
    stages = inverter.stages(targets)
    names = ["beam", "reranked", "corrected 1", "corrected 2", "edited 1", "edited 2"]
    assert [name for name, _ in stages] == names
    cosines = np.array([np.einsum("nd,nd->n", embed(texts), targets) for _, texts in stages])
    assert (np.diff(cosines, axis=0) >= -1e-6).all()
    assert cosines[-1].mean() > cosines[0].mean()
    assert inverter.invert(targets) == stages[-1][1]


def test_without_an_embedder_it_is_beam_search_and_length_does_not_matter(checkpoint: Path) -> None:
    inverter = GenerativeInverter.open(checkpoint)
    targets = unit_rows(3, 12)
    assert inverter.invert(targets) == inverter.invert(targets * 7)
    assert [name for name, _ in inverter.stages(targets)] == ["beam"]
    assert len(inverter.greedy(targets)) == 3
    assert inverter.invert(targets[:0]) == []
    with pytest.raises(InvalidArgument, match=r"\(n, 12\)"):
        inverter.invert(unit_rows(1, 13))


def test_edits_leave_out_put_in_and_exchange() -> None:
    vocabulary = Vocabulary.train(TEXTS * 5, 400)
    editor = Editor(vocabulary, Width(wrong=1, missing=1, places=2))
    (tokens,) = vocabulary.encode(["the old river bridge"])
    assert vocabulary.decode([[token for word in editor.words(tokens) for token in word]]) == ["the old river bridge"]
    assert len(editor.words(tokens)) == 4
    target, own = np.full(len(vocabulary), -3.0, np.float32), np.full(len(vocabulary), -3.0, np.float32)
    for word in ("the", "river", "bridge"):
        target[vocabulary.encode([word])[0]] = own[vocabulary.encode([word])[0]] = 2.0
    own[vocabulary.encode(["old"])[0]] = 2.0
    target[vocabulary.encode(["lamp"])[0]] = 1.0
    edits = editor.edits("the old river bridge", target, own, np.random.default_rng(0))
    assert edits[:2] == ["the river bridge", "the lamp river bridge"]
    assert len(edits) == 4
    assert all(sorted(text.split()) == sorted(["the", "old", "river", "bridge", "lamp"]) for text in edits[2:])
    assert editor.edits("", target, own, np.random.default_rng(0)) == ["lamp"]


def test_edits_alone_find_a_text_word_by_word() -> None:
    """A bag of letters is a poor embedder, but any word that is missing shows in it."""
    vocabulary = Vocabulary.train(TEXTS * 5, 400)
    embed, editor = LetterEmbedder(64), Editor(vocabulary, Width(wrong=4, missing=8))
    goal = "the river runs past the old bridge"
    candidates = Candidates(embed([goal]), embed, 2)
    candidates.add([0], ["the lamp runs the old"])
    evidence = np.full(len(vocabulary), -3.0, np.float32)
    evidence[vocabulary.encode([goal])[0]] = 2.0
    chance = np.random.default_rng(0)
    before = -1.0
    for _ in range(6):
        (best,) = candidates.best(0, 1)
        assert best.cosine >= before
        before = best.cosine
        own = np.full(len(vocabulary), -3.0, np.float32)
        own[vocabulary.encode([best.text])[0]] = 2.0
        edits = editor.edits(best.text, evidence, own, chance)
        candidates.add([0] * len(edits), edits)
    assert sorted(candidates.texts()[0].split()) == sorted(goal.split())


def test_a_lexicon_names_what_a_text_lacks() -> None:
    embed = LetterEmbedder(96)
    lexicon = Lexicon.of(["zebra", "quick", "bridge", "lamp"], embed)
    target, own = embed(["the old river bridge", "the old river"])
    assert lexicon.lacking(target, own, frozenset(), 1) == ["bridge"]
    assert "bridge" not in lexicon.lacking(target, own, frozenset({"bridge"}), 3)
    assert len(lexicon.lacking(target, own, frozenset(), 9)) == 4


def test_words_of_a_lexicon_are_tried_beside_those_of_the_evidence() -> None:
    vocabulary = Vocabulary.train(TEXTS * 5, 400)
    editor = Editor(vocabulary, Width(wrong=1, missing=0, places=1))
    nothing = np.full(len(vocabulary), -3.0, np.float32)
    edits = editor.edits("the old river", nothing, nothing, np.random.default_rng(0), ["epistemology"])
    assert len(edits) == 3
    assert sum("epistemology" in text.split() for text in edits) == 2


def test_a_search_with_a_lexicon_comes_closer(checkpoint: Path) -> None:
    """The untrained network knows no word: what is found beyond its beams comes from the lexicon."""
    embed = LetterEmbedder(12)
    targets = embed(["zebra quick", "lamp bridge"])
    search, words = Search(beams=2, rounds=0, edits=4, named=4), ["zebra", "quick", "lamp", "bridge"]
    found = [
        GenerativeInverter.open(checkpoint, embed, search, lexicon).invert(targets)
        for lexicon in (None, Lexicon.of(words, embed))
    ]
    without, led = (np.einsum("nd,nd->n", embed(texts), targets) for texts in found)
    assert led.mean() > without.mean()
    assert any(word in " ".join(found[1]).split() for word in words)
