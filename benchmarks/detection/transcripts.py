"""Data sets that detectors and thresholds were not made on, from a pool of sentences: dialogues, or short articles.

A record is the transcript of one dialogue, or a document's sentences, a question one of them, which is taken out of the
record (the inverse cloze task of Lee, Chang and Toutanova 2019). The pool is JSON Lines with `text`, `source` and
`doc`; a `doc` of a dialogue is its name, a hyphen and the number of the turn.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from vecguard.audit.beir import open_lines

SOURCE: Final = "sgd-dialogue"
LEAST_TURNS: Final = 3
LEAST_WORDS: Final = 6
"""Of a turn that is a question: "Yes, please." asks for nothing in particular."""


def documents(rows: Iterable[dict[str, Any]], source: str) -> dict[str, list[str]]:
    """The sentences of each document of a source, in the pool's order, of those with enough of them."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["source"] == source:
            found[str(row["doc"])].append(str(row["text"]))
    return {name: texts for name, texts in found.items() if len(texts) >= LEAST_TURNS}


def dialogues(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The turns of each dialogue, in their order, of those with enough of them."""
    turns: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        if row["source"] == SOURCE:
            name, _, turn = str(row["doc"]).rpartition("-")
            turns[name].append((int(turn), str(row["text"])))
    return {name: [text for _, text in sorted(said)] for name, said in turns.items() if len(said) >= LEAST_TURNS}


def write_transcripts(pool: Path, folder: Path, source: str = SOURCE, seed: int = 0) -> int:
    """Write the data set in the BEIR layout, of dialogues or of another source of the pool; how many records it has.

    Raises:
        ConfigError: the pool is packed, and cannot be unpacked here.
    """
    random = np.random.default_rng(seed)
    with open_lines(pool) as lines:
        rows = (json.loads(line) for line in lines if line.strip())
        found = dialogues(rows) if source == SOURCE else documents(rows, source)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (folder / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "qrels.tsv").open("w", encoding="utf-8") as relevant,
    ):
        relevant.write("query_id\tdoc_id\trelevance\n")
        for name, turns in found.items():
            askable = [at for at, text in enumerate(turns) if len(text.split()) >= LEAST_WORDS]
            if askable:
                at = int(random.choice(askable))
                queries.write(json.dumps({"id": f"q-{name}", "text": turns.pop(at)}) + "\n")
                relevant.write(f"q-{name}\t{name}\t1\n")
            corpus.write(json.dumps({"id": name, "title": "", "text": " ".join(turns)}) + "\n")
    return len(found)
