"""Reading a retrieval data set in the BEIR layout: documents, questions and which answers which.

The layout (Thakur et al. 2021, arXiv:2104.08663): `corpus.jsonl` and `queries.jsonl` with one JSON object a line, and
`qrels.tsv` with a header and the columns query id, document id, relevance. The JSON Lines may be packed with zstd
(`.jsonl.zst`), and `qrels.tsv` may lie under `qrels/test.tsv` as in the published archives.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecguard.errors import ConfigError


@dataclass(frozen=True)
class Text:
    """One document or question: its id in the data set, its title ("" for a question) and its text.

    `split` says what the data set keeps it for ("train", "valid", "test"), "" where it says nothing.
    """

    id: str
    title: str
    text: str
    split: str = ""

    @property
    def full(self) -> str:
        """Title and text as one string, which is what gets embedded."""
        return f"{self.title}. {self.text}" if self.title else self.text


@dataclass(frozen=True)
class Dataset:
    """Documents, questions, and for each question's id the ids of its relevant documents."""

    name: str
    documents: tuple[Text, ...]
    questions: tuple[Text, ...]
    relevant: dict[str, frozenset[str]]


def read_dataset(folder: Path, documents: int, questions: int, seed: int = 0) -> Dataset:
    """A seeded sample: `questions` questions, their relevant documents, and others up to `documents` in all.

    Fewer are returned where the data set holds fewer. Documents keep the order of the file.
    Raises `ConfigError` where the folder is not in the BEIR layout.
    """
    relevant = _read_relevance(folder)
    asked = [row for row in _read_rows(folder, "queries") if row["id"] in relevant]
    corpus = _read_rows(folder, "corpus")
    random = np.random.default_rng(seed)
    chosen = [asked[i] for i in np.sort(random.permutation(len(asked))[:questions])]
    needed = set().union(*(relevant[row["id"]] for row in chosen)) if chosen else set()
    kept = _fill(corpus, needed, documents, random)
    present = {row["id"] for row in kept}
    return Dataset(
        name=folder.resolve().name,
        documents=tuple(_text(row) for row in kept),
        questions=tuple(_text(row) for row in chosen),
        relevant={row["id"]: frozenset(relevant[row["id"]] & present) for row in chosen},
    )


def _fill(
    corpus: list[dict[str, Any]], needed: set[str], count: int, random: np.random.Generator
) -> list[dict[str, Any]]:
    """The needed rows and a random choice of others, `count` in all, in the corpus's order."""
    others = [i for i, row in enumerate(corpus) if row["id"] not in needed]
    wanted = [i for i, row in enumerate(corpus) if row["id"] in needed]
    drawn = random.permutation(len(others))[: max(0, count - len(wanted))]
    return [corpus[i] for i in sorted(wanted[:count] + [others[j] for j in drawn])]


def _text(row: dict[str, Any]) -> Text:
    return Text(
        id=str(row["id"]), title=str(row.get("title", "")), text=str(row["text"]), split=str(row.get("split", ""))
    )


def _read_rows(folder: Path, stem: str) -> list[dict[str, Any]]:
    packed, plain = folder / f"{stem}.jsonl.zst", folder / f"{stem}.jsonl"
    if not packed.exists() and not plain.exists():
        raise ConfigError(f"{folder}: neither {packed.name} nor {plain.name} is there; expected the BEIR layout")
    with open_lines(packed if packed.exists() else plain) as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return [{**row, "id": row["id"] if "id" in row else row["_id"]} for row in rows]


def open_lines(path: Path) -> io.TextIOWrapper:
    """The lines of a UTF-8 text file, unpacked where its name ends in `.zst`; close it.

    Raises:
        ConfigError: unpacking needs a package that is not here.
    """
    if path.suffix != ".zst":
        return path.open(encoding="utf-8")
    try:
        import zstandard
    except ImportError as error:
        raise ConfigError(f"{path}: reading zstd needs the package `zstandard` (extra `audit`)") from error
    stream = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
    return io.TextIOWrapper(stream, encoding="utf-8")


def _read_relevance(folder: Path) -> dict[str, frozenset[str]]:
    for path in (folder / "qrels.tsv", folder / "qrels" / "test.tsv"):
        if path.exists():
            pairs: dict[str, set[str]] = {}
            for query_id, document_id, relevance in _qrels(path):
                if int(relevance) > 0:
                    pairs.setdefault(query_id, set()).add(document_id)
            return {query_id: frozenset(ids) for query_id, ids in pairs.items()}
    raise ConfigError(f"{folder}: qrels.tsv is not there; expected the BEIR layout")


def _qrels(path: Path) -> Iterator[tuple[str, str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t")
        next(rows, None)
        for row in rows:
            yield row[0], row[1], row[2]
