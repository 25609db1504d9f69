"""Training texts from JSON Lines: cut, distinct, split; anything else is named and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecguard.audit.training.texts import read_training_texts
from vecguard.errors import ConfigError


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_folder_with_its_own_validation(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *({"text": f"training text {n}"} for n in range(30)), {"text": "training text 3"})
    write(tmp_path / "valid.jsonl", {"text": "held text one"}, {"text": "training text 4"})
    texts, valid = read_training_texts(tmp_path, 1)
    assert texts == [f"training text {n}" for n in range(30)]
    assert valid == ["held text one"]


def test_a_file_is_split_by_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "any.jsonl", *({"text": f"text number {n}"} for n in range(100)))
    texts, valid = read_training_texts(path, 1)
    assert len(texts) == 96
    assert sorted(texts + valid) == sorted(f"text number {n}" for n in range(100))
    assert read_training_texts(path, 1) == (texts, valid)
    assert read_training_texts(path, 2) != (texts, valid)


def test_long_texts_are_cut_into_sentences(tmp_path: Path) -> None:
    long = " ".join(f"Sentence {n} has some words." for n in range(13))
    endless = " ".join(["word"] * 70)
    path = write(tmp_path / "corpus.jsonl", {"_id": "1", "text": long}, {"text": endless}, {"text": "Hi"})
    texts, valid = read_training_texts(tmp_path, 1)
    assert sorted(texts + valid) == sorted(f"Sentence {n} has some words." for n in range(13))
    assert path.exists()


@pytest.mark.parametrize("line", ["no json", '{"title": "x"}', "[1]", '{"text": 5}'])
def test_a_strange_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "good enough"}\n' + line + "\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_training_texts(path, 1)


def test_nothing_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither train"):
        read_training_texts(tmp_path, 1)
    with pytest.raises(ConfigError, match="is not there"):
        read_training_texts(tmp_path / "x.jsonl", 1)
