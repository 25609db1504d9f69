"""Personal data by type: which spans of a text are names, addresses or numbers, and how many of them came back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.beir import open_lines
from vecguard.audit.metrics import tokenise
from vecguard.demo.notes import Note
from vecguard.errors import ConfigError

# Labels of the usual recognisers (Presidio's among them) by what a reader of a report thinks of.
TYPES: Final[Mapping[str, frozenset[str]]] = {
    "name": frozenset({"PERSON", "NAME"}),
    "e-mail": frozenset({"EMAIL_ADDRESS", "EMAIL"}),
    "number": frozenset({"PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "ZIP_CODE", "IP_ADDRESS", "AGE"}),
    "place": frozenset({"GPE", "STREET_ADDRESS", "LOCATION"}),
    "diagnosis": frozenset({"DIAGNOSIS"}),
}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A text and its personal spans: (type, the characters of the span)."""

    text: str
    spans: tuple[tuple[str, str], ...]


def read_tagged(path: Path) -> list[Tagged]:
    """Texts with character spans from JSON Lines, packed with zstd or not.

    A line is `{"text": ..., "spans": [{"start", "end", "label"}, ...]}` as Presidio's research sets have it; `path` is
    the file, or a folder that holds `sentences.jsonl[.zst]`. Labels outside `TYPES` are left out.

    Raises:
        ConfigError: no such file, or a line of another form.
    """
    file = path
    if path.is_dir():
        file = next((path / name for name in _NAMES if (path / name).exists()), path / _NAMES[0])
    if not file.exists():
        raise ConfigError(f"{file} is not there; expected JSON Lines with text and spans")
    try:
        with open_lines(file) as lines:
            return [_tagged(json.loads(line)) for line in lines if line.strip()]
    except (KeyError, TypeError, ValueError) as fault:
        raise ConfigError(f"{file}: a line is not {{text, spans: [{{start, end, label}}]}}") from fault


def tagged_notes(notes: Iterable[Note]) -> list[Tagged]:
    """The built-in synthetic notes, with the fields that stand in their text as spans."""
    return [_note(note) for note in notes]


def recalled(recovered: Sequence[str], tagged: Sequence[Tagged]) -> dict[str, NDArray[np.float64]]:
    """By type, one entry a span: 1 where all tokens of the span stand in the recovered text in one run, else 0.

    Types without a span are absent.
    """
    hits: dict[str, list[float]] = {}
    for text, true in zip(recovered, tagged, strict=True):
        words = f" {' '.join(tokenise(text))} "
        for kind, value in true.spans:
            span = " ".join(tokenise(value))
            if span:
                hits.setdefault(kind, []).append(float(f" {span} " in words))
    return {kind: np.array(values) for kind, values in sorted(hits.items())}


def recalled_parts(recovered: Sequence[str], tagged: Sequence[Tagged]) -> dict[str, NDArray[np.float64]]:
    """By type, one entry a span: the share of its tokens that stand in the recovered text, in any order."""
    shares: dict[str, list[float]] = {}
    for text, true in zip(recovered, tagged, strict=True):
        words = set(tokenise(text))
        for kind, value in true.spans:
            if tokens := tokenise(value):
                shares.setdefault(kind, []).append(sum(token in words for token in tokens) / len(tokens))
    return {kind: np.array(values) for kind, values in sorted(shares.items())}


_NAMES: Final = ("sentences.jsonl.zst", "sentences.jsonl")
_BY_LABEL: Final = {label: kind for kind, labels in TYPES.items() for label in labels}


def _tagged(row: dict[str, object]) -> Tagged:
    text, spans = row["text"], row["spans"]
    if not isinstance(text, str) or not isinstance(spans, list):
        raise TypeError
    return Tagged(text, tuple(_spans(text, spans)))


def _spans(text: str, spans: list[dict[str, object]]) -> Iterator[tuple[str, str]]:
    for span in spans:
        start, end, label = span["start"], span["end"], span["label"]
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(label, str):
            raise TypeError
        if label in _BY_LABEL:
            yield _BY_LABEL[label], text[start:end]


def _note(note: Note) -> Tagged:
    fields = {"name": note.patient, "e-mail": note.email, "number": note.phone, "diagnosis": note.diagnosis}
    return Tagged(note.text, tuple((kind, value) for kind, value in fields.items() if value in note.text))
