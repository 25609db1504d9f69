"""Checkpoints: what was saved is what is opened, and damage of any kind is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inverter.test_decoder import SHAPE, random_weights, unit_rows

from vecguard.audit.inverter.checkpoint import Card, open_checkpoint, save
from vecguard.audit.inverter.decoder import Decoder, Floats
from vecguard.audit.inverter.vocabulary import Vocabulary
from vecguard.errors import ConfigError

TEXTS = ["the river runs past the old bridge", "a lamp in the garden"] * 20


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.train(TEXTS, SHAPE.vocabulary)


def saved(folder: Path, vocabulary: Vocabulary, corrector: dict[str, Floats] | None = None) -> Path:
    path = folder / "model.npz"
    shape = SHAPE.model_copy(update={"vocabulary": len(vocabulary)})
    correcting = shape.model_copy(update={"corrects": True}) if corrector is not None else None
    card = Card(embedder="none", trained_on="two sentences", seed=1, base=shape, corrector=correcting)
    save(path, card, vocabulary, random_weights(shape), corrector)
    return path


def test_it_opens_as_it_was_saved(tmp_path: Path, vocabulary: Vocabulary) -> None:
    shape = SHAPE.model_copy(update={"vocabulary": len(vocabulary)})
    opened = open_checkpoint(saved(tmp_path, vocabulary))
    exact, rounded = Decoder(shape, random_weights(shape)), opened.base
    assert opened.corrector is None
    assert opened.vocabulary.encode(TEXTS) == vocabulary.encode(TEXTS)
    assert opened.vocabulary.decode(vocabulary.encode(TEXTS)) == TEXTS
    for name, weight in rounded.weights.items():
        largest = np.abs(exact.weights[name]).max()
        np.testing.assert_allclose(weight, exact.weights[name], atol=largest / 200, err_msg=name)
    logs, _ = rounded.first(rounded.begin(unit_rows(2, 12)))
    expected, _ = exact.first(exact.begin(unit_rows(2, 12)))
    np.testing.assert_allclose(logs, expected, atol=0.1)


def test_the_corrector_shares_what_is_equal(tmp_path: Path, vocabulary: Vocabulary) -> None:
    shape = SHAPE.model_copy(update={"vocabulary": len(vocabulary)})
    correcting = shape.model_copy(update={"corrects": True})
    weights = random_weights(correcting, seed=9)
    for table in ("tokens", "words"):
        weights[table] = random_weights(shape)[table]
    path = saved(tmp_path, vocabulary, weights)
    with np.load(path) as stored:
        assert "corrector/gate.weight" in stored.files
        assert "corrector/tokens" not in stored.files
    corrector = open_checkpoint(path).corrector
    assert corrector is not None
    np.testing.assert_allclose(corrector.weights["final_norm"], weights["final_norm"], atol=1e-3)
    np.testing.assert_array_equal(corrector.weights["tokens"], open_checkpoint(path).base.weights["tokens"])


@pytest.mark.parametrize("place", [0, 200, -40])
def test_a_damaged_file_is_refused(tmp_path: Path, vocabulary: Vocabulary, place: int) -> None:
    path = saved(tmp_path, vocabulary)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        open_checkpoint(path)


def test_a_missing_file_or_card_is_named(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = saved(tmp_path, vocabulary)
    path.unlink()
    with pytest.raises(ConfigError, match=r"model\.npz is missing"):
        open_checkpoint(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ConfigError, match="its card"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is not known"),
        ({"seed": "x"}, "seed"),
        ({"more": 1}, "more"),
    ],
)
def test_a_strange_card_is_refused(
    tmp_path: Path, vocabulary: Vocabulary, change: dict[str, object], message: str
) -> None:
    path = saved(tmp_path, vocabulary)
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        open_checkpoint(path)


def test_a_file_that_is_no_archive_is_refused_even_with_its_digest(tmp_path: Path, vocabulary: Vocabulary) -> None:
    import hashlib

    path = saved(tmp_path, vocabulary)
    path.write_bytes(b"not a zip")
    card = path.with_suffix(".json")
    digest = hashlib.sha256(b"not a zip").hexdigest()
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": digest}))
    with pytest.raises(ConfigError, match=r"not an \.npz"):
        open_checkpoint(path)
