"""The texts that attackers are trained on: JSON Lines with a `text` each, cut into sentences where they are long."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from vecguard.audit.beir import open_lines
from vecguard.errors import ConfigError

ENDINGS = (".jsonl", ".jsonl.zst")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
# An inverter is trained to write up to about 60 tokens; longer texts are learnt sentence by sentence.
MOST_WORDS = 60
FEWEST_WORDS = 2
HELD_BACK = 0.04
MOST_HELD_BACK = 1000


def read_training_texts(path: Path, seed: int) -> tuple[list[str], list[str]]:
    """Texts for training and for validation, which share none.

    Args:
        path: a JSON Lines file (`.jsonl`, `.jsonl.zst`), or a folder with `train` and perhaps `valid` of that kind, or
            with `corpus` (the BEIR layout).
        seed: decides what is held back for validation where there is no `valid`.

    Raises:
        ConfigError: there is no such file, or a line of it is not an object with a string `text`.
    """
    if path.is_dir():
        file = _file(path, "train") or _file(path, "corpus")
        if file is None:
            raise ConfigError(f"{path}: neither train.jsonl nor corpus.jsonl (or .zst) is there")
    else:
        file = path
    texts = read_texts(file)
    separate = _file(path, "valid") if path.is_dir() and file.name.startswith("train") else None
    if separate is not None:
        known = set(texts)
        valid = [text for text in read_texts(separate) if text not in known]
        order = np.random.default_rng(seed).permutation(len(valid))[:MOST_HELD_BACK]
        return texts, [valid[row] for row in order]
    order = np.random.default_rng(seed).permutation(len(texts))
    held = min(MOST_HELD_BACK, int(len(texts) * HELD_BACK))
    return [texts[row] for row in order[held:]], [texts[row] for row in order[:held]]


def _file(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{ending}" for ending in ENDINGS if (folder / f"{stem}{ending}").is_file()), None)


def read_texts(file: Path) -> list[str]:
    """Distinct texts in the order of the file, long ones cut into sentences.

    Raises:
        ConfigError: see `read_training_texts`.
    """
    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    found: dict[str, None] = {}
    with open_lines(file) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError):
                raise ConfigError(f"{file}, line {number}: not a JSON object with a `text`") from None
            if not isinstance(text, str):
                raise ConfigError(f"{file}, line {number}: `text` is not a string")
            parts = [text] if len(text.split()) <= MOST_WORDS else SENTENCE_END.split(text)
            found |= {part.strip(): None for part in parts if FEWEST_WORDS <= len(part.split()) <= MOST_WORDS}
    return list(found)
