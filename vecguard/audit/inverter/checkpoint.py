"""The file of a trained generative inverter: vocabulary, base, corrector, and a card that says what it is.

One `.npz` (a zip of arrays, read without pickle) and beside it a card `.json` that holds the file's SHA-256. Stored
are large tables as int8 with one float32 scale a row, other weights as float16; a weight of the corrector that equals
the base's is stored once. docs/inverter.md has every entry.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from vecguard.audit.inverter.architecture import Architecture
from vecguard.audit.inverter.decoder import Decoder
from vecguard.audit.inverter.vocabulary import Vocabulary
from vecguard.errors import ConfigError

Floats = npt.NDArray[np.float32]

FORMAT = 1
# Rows are tokens: each row keeps its own scale.
QUANTISED = ("tokens", "words")
LARGEST_INT8 = 127


class Card(BaseModel):
    """What a checkpoint is: written by training, shown to users, checked at opening."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    sha256: str = ""
    embedder: str
    trained_on: str
    licences: str = ""
    seed: int
    base: Architecture
    corrector: Architecture | None = None


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint."""

    card: Card
    vocabulary: Vocabulary
    base: Decoder
    corrector: Decoder | None


def save(
    path: Path,
    card: Card,
    vocabulary: Vocabulary,
    base: Mapping[str, Floats],
    corrector: Mapping[str, Floats] | None = None,
) -> Card:
    """Writes `path` (.npz) and its card; returns the card with the digest."""
    arrays: dict[str, npt.NDArray[Any]] = {"vocabulary": np.frombuffer(vocabulary.to_json().encode(), dtype=np.uint8)}
    for name, weight in base.items():
        arrays |= _stored(f"base/{name}", weight)
    for name, weight in (corrector or {}).items():
        if name not in base or not np.array_equal(weight, base[name]):
            arrays |= _stored(f"corrector/{name}", weight)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    packed = buffer.getvalue()
    card = card.model_copy(update={"sha256": hashlib.sha256(packed).hexdigest()})
    path.write_bytes(packed)
    path.with_suffix(".json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads `path` (.npz) and its card.

    Raises:
        ConfigError: a file is missing, damaged, of another format, or `tokenizers` is not installed.
    """
    card = read_card(path.with_suffix(".json"))
    if not path.is_file():
        raise ConfigError(f"inverter checkpoint {path} is missing")
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != card.sha256:
        raise ConfigError(f"inverter checkpoint {path} is damaged: its SHA-256 is not the one of its card")
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile) as broken:
        raise ConfigError(f"inverter checkpoint {path} is not an .npz file of plain arrays") from broken
    if "vocabulary" not in arrays:
        raise ConfigError(f"inverter checkpoint {path} holds no vocabulary")
    vocabulary = Vocabulary.from_json(arrays.pop("vocabulary").tobytes().decode("utf-8", errors="replace"))
    base = _opened(arrays, "base/")
    corrector = None
    if card.corrector is not None:
        corrector = Decoder(card.corrector, {**base, **_opened(arrays, "corrector/")})
    return Checkpoint(card, vocabulary, Decoder(card.base, base), corrector)


def read_card(path: Path) -> Card:
    """The card at `path`.

    Raises:
        ConfigError: it is missing, not a card, or of a newer format.
    """
    if not path.is_file():
        raise ConfigError(f"inverter checkpoint: its card {path} is missing")
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as wrong:
        fields = ", ".join(".".join(map(str, error["loc"])) or "file" for error in wrong.errors())
        raise ConfigError(f"inverter checkpoint: the card {path} is not valid ({fields})") from None
    if card.format != FORMAT:
        raise ConfigError(f"inverter checkpoint {path}: format {card.format} is not known here (known: {FORMAT})")
    return card


def _stored(name: str, weight: Floats) -> dict[str, npt.NDArray[Any]]:
    if name.rpartition("/")[2] not in QUANTISED:
        return {name: weight.astype(np.float16)}
    scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), np.float32(1e-20)) / np.float32(LARGEST_INT8)
    return {name: np.rint(weight / scale).astype(np.int8), f"{name}.scale": scale}


def _opened(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, Floats]:
    weights = {}
    for name, stored in arrays.items():
        if not name.startswith(prefix) or name.endswith(".scale"):
            continue
        weight = stored.astype(np.float32)
        if stored.dtype == np.int8:
            weight *= arrays[f"{name}.scale"]
        weights[name.removeprefix(prefix)] = weight
    return weights
