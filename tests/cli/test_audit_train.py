"""`vecguard audit train`: from a file of texts to a checkpoint that opens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vecguard.cli import app

pytest.importorskip("torch")


def command(data: Path, out: Path, *more: str) -> list[str]:
    return ["audit", "train", "--data", str(data), "--out", str(out), *more]


@pytest.mark.slow
def test_it_trains_and_goes_on(tmp_path: Path) -> None:
    from vecguard.audit.inverter.bag_of_words import BagOfWordsInverter
    from vecguard.audit.inverter.generative import GenerativeInverter

    people, places = ["the nurse", "a pilot", "my brother", "the judge"], ["rome", "paris", "cairo", "lima", "oslo"]
    lines = [
        f"{who} {does} {where} in {when}"
        for who in people
        for does in ["visits", "leaves", "likes"]
        for where in places
        for when in ["may", "june", "winter", "spring"]
    ]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    small = ["--steps", "4", "--vocabulary", "400", "--layers", "1", "--width", "32", "--licences", "none"]
    first = CliRunner().invoke(app, command(data, tmp_path / "out", *small))
    assert first.exit_code == 0, first.output
    assert "231 texts to train on, 9 for validation" in first.output
    inverter = GenerativeInverter.open(tmp_path / "out" / "inverter.npz")
    assert inverter.checkpoint.corrector is not None
    assert inverter.checkpoint.card.licences == "none"
    assert len(inverter.greedy(np.ones((2, 384), np.float32))) == 2
    assert BagOfWordsInverter.open(tmp_path / "out" / "bag_of_words.npz").weights.shape[0] == 384

    again = CliRunner().invoke(app, command(data, tmp_path / "out", *small))
    assert again.exit_code == 0, again.output
    assert inverter.checkpoint.card.sha256 in again.output.replace("\n", "")


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, command(tmp_path / "none.jsonl", tmp_path / "out"))
    assert result.exit_code == 1
    assert "vecguard audit train:" in result.output
    assert "is not there" in result.output


def test_an_unknown_embedder_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, command(tmp_path / "none.jsonl", tmp_path / "out", "--embedder", "ada"))
    assert result.exit_code == 1
    assert "there is no embedder 'ada'" in result.output


def test_a_width_that_heads_do_not_divide_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, command(tmp_path / "none.jsonl", tmp_path / "out", "--width", "30"))
    assert result.exit_code == 1
    assert "multiple of 4" in result.output
