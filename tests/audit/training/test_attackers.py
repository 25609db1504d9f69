"""All steps of training attackers for an embedder, on sentences that can be learnt in seconds."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.test_training import sentences  # noqa: E402

from vecguard.audit.inverter.bag_of_words import BagOfWordsInverter  # noqa: E402
from vecguard.audit.inverter.decoder import Floats  # noqa: E402
from vecguard.audit.inverter.generative import GenerativeInverter, Search  # noqa: E402
from vecguard.audit.training.attackers import BAG_OF_WORDS, CHECKPOINT, About, Attackers, Material, Training  # noqa: E402
from vecguard.audit.training.corrector import corrector_of  # noqa: E402
from vecguard.audit.training.neighbours import nearest_others  # noqa: E402
from vecguard.audit.training.network import InverterNetwork  # noqa: E402
from vecguard.audit.training.plan import Plan  # noqa: E402
from vecguard.errors import ConfigError, InvalidArgument  # noqa: E402

DIMS = 32


def embed(texts: Sequence[str]) -> Floats:
    """Sums of word directions, weighted by the word's place; any word has a direction."""
    rows = np.full((len(texts), DIMS), 1e-3)
    for number, text in enumerate(texts):
        for place, word in enumerate(text.split()):
            direction = np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMS)
            rows[number] += direction * (1 + 0.2 * place)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def material() -> tuple[Material, list[str], Floats]:
    texts = sentences()
    np.random.default_rng(1).shuffle(texts)
    rows = embed(texts)
    return Material(texts[:700], rows[:700], texts[700:740], rows[700:740]), texts[740:], rows[740:]


def short(steps: int, **more: float) -> Plan:
    return Plan(
        steps=steps,
        validate_every=20,
        batch_tokens=512,
        drawn_tokens=128,
        table_rate=4e-3,
        block_rate=4e-3,
        evidence_weight=more.get("evidence_weight", 0.01),
    )


def test_a_corrector_begins_as_its_base() -> None:
    from vecguard.audit.inverter.architecture import Architecture

    torch.manual_seed(0)
    base = InverterNetwork(Architecture(dims=8, vocabulary=300, width=16, heads=2, layers=1, feed=32, condition=8))
    corrector = corrector_of(base)
    unit = torch.nn.functional.normalize(torch.randn(3, 8))
    here, there = base.read(unit), corrector.read(unit, -unit)
    torch.testing.assert_close(here.prefix, there.prefix)
    torch.testing.assert_close(here.bias, there.bias)
    fixed = {name for name, weight in corrector.named_parameters() if not weight.requires_grad}
    assert fixed == {
        *("tokens", "words", "word_bias"),
        *(f"evidence_{side}.{part}" for side in ("in", "out") for part in ("weight", "bias")),
    }


def test_the_nearest_other_is_neither_itself_nor_its_copy() -> None:
    rows = embed(["a b c d", "a b c d", "a b c e", "x y z w"])
    assert nearest_others(np.array([0, 3]), rows)[0] == 2
    assert nearest_others(np.array([3]), rows)[0] in {0, 1, 2}


@pytest.mark.slow
def test_all_steps_and_what_the_attackers_then_recover(tmp_path: Path) -> None:
    given, true, targets = material()
    training = Training(
        vocabulary=420,
        width=48,
        layers=2,
        heads=2,
        base=short(90),
        corrector=short(60, evidence_weight=0.0),
        hypotheses=400,
        neighbours=200,
    )
    told: list[tuple[str, str]] = []
    make = lambda: Attackers(given, embed, tmp_path, training, About("directions", "made sentences"))  # noqa: E731
    card = make().train(lambda step, text: told.append((step, text)))
    assert list(dict.fromkeys(step for step, _ in told)) == [
        *("bag of words", "base", "hypotheses", "validation hypotheses", "corrector")
    ]
    assert (card.embedder, card.trained_on, card.base.dims) == ("directions", "made sentences", DIMS)

    inverter = GenerativeInverter.open(tmp_path / CHECKPOINT, embed, Search(beams=4, drawn=4, rounds=2, edits=2))
    exact = {
        name: np.mean([text == one for text, one in zip(texts, true, strict=True)])
        for name, texts in inverter.stages(targets)
    }
    assert exact["beam"] > 0.2
    assert exact["edited 2"] >= exact["reranked"] >= exact["beam"]
    assert exact["edited 2"] > 0.6

    words = BagOfWordsInverter.open(tmp_path / BAG_OF_WORDS)
    found = [set(text.split()) for text in words.invert(targets)]
    f1 = np.mean(
        [2 * len(a & set(b.split())) / (len(a) + len(set(b.split()))) for a, b in zip(found, true, strict=True)]
    )
    assert f1 > 0.8

    told.clear()
    assert make().train(lambda step, text: told.append((step, text))).sha256 == card.sha256
    assert {step for step, _ in told} == {"hypotheses", "validation hypotheses"}  # read from disk, nothing trained


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    given, _, _ = material()
    small = Training(vocabulary=300, width=16, layers=1, heads=2)
    Attackers(given, embed, tmp_path, small, About("directions", "made sentences"))
    Attackers(given, embed, tmp_path, small.model_copy(update={"neighbours": 1}), About("directions", "renamed"))
    with pytest.raises(InvalidArgument, match="other width"):
        Attackers(given, embed, tmp_path, small.model_copy(update={"width": 32}), About("directions", "made sentences"))
    with pytest.raises(InvalidArgument, match="other embedder"):
        Attackers(given, embed, tmp_path, small, About("ada", "made sentences"))
    fewer = Material(given.texts[:300], given.embeddings[:300], given.valid_texts, given.valid_embeddings)
    with pytest.raises(InvalidArgument, match="other texts"):
        Attackers(fewer, embed, tmp_path, small, About("directions", "made sentences"))


def test_too_little_material_is_refused() -> None:
    rows = embed(["a"] * 199)
    with pytest.raises(InvalidArgument, match="at least 200 texts"):
        Material(["a"] * 199, rows, ["a"], rows[:1])


def test_a_strange_bag_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        BagOfWordsInverter.open(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(ConfigError, match="cannot be read"):
        BagOfWordsInverter.open(tmp_path / "bad.npz")
    parts = {"words": np.frombuffer(b'["a"]', np.uint8), "weights": np.zeros((4, 2)), "bias": np.zeros(2)}
    np.savez(tmp_path / "odd.npz", threshold=np.float64(0.5), **parts)
    with pytest.raises(ConfigError, match="do not fit"):
        BagOfWordsInverter.open(tmp_path / "odd.npz")
