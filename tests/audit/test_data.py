"""What an audit takes of a data set, and that attacker and owner share no document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecguard.audit.beir import Text
from vecguard.audit.data import Sizes, cut, texts_of_folder, texts_of_notes
from vecguard.errors import ConfigError

SIZES = Sizes(victims=20, crowd=60, own=120, foreign=30, personal=10, documents=40, questions=5)


def beir_folder(folder: Path, documents: int = 150) -> Path:
    """Documents of four sentences each, with one question for every tenth."""
    rows = [
        {
            "id": f"d{i}",
            "title": f"topic {i % 5}",
            "text": " ".join(f"Document {i} says in part {j} what nobody knows." for j in range(4)),
        }
        for i in range(documents)
    ]
    asked = [{"id": f"q{i}", "text": f"what says document {i}?"} for i in range(0, documents, 10)]
    for stem, lines in (("corpus", rows), ("queries", asked)):
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(0, documents, 10))
    (folder / "qrels.tsv").write_text("query\tdoc\trelevance\n" + judged)
    return folder


def test_a_folder_becomes_stored_and_attackers_texts_of_different_documents(tmp_path: Path) -> None:
    texts = texts_of_folder(beir_folder(tmp_path), SIZES, seed=3)
    stored = {text.split()[1] for text in (*texts.victims.texts, *texts.crowd.texts)}
    own = {text.split()[1] for text in texts.own.texts}
    assert (len(texts.victims), len(texts.crowd), len(texts.own)) == (20, 60, 120)
    assert not stored & own
    assert len(texts.foreign) == 30
    assert texts.relevant[0]
    assert all(texts.documents[row] for rows in texts.relevant for row in rows)


def test_the_seed_decides(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path)
    assert texts_of_folder(folder, SIZES, seed=3) == texts_of_folder(folder, SIZES, seed=3)
    assert texts_of_folder(folder, SIZES, seed=3).victims != texts_of_folder(folder, SIZES, seed=4).victims


def test_a_folder_with_too_little_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few"):
        texts_of_folder(beir_folder(tmp_path, documents=20), SIZES, seed=0)


def test_sentences_are_cut_by_length_and_kept_once() -> None:
    text = "Too short. This one is long enough. This one is long enough. " + "word " * 60 + "end."
    assert cut([Text("1", "t", text)], "sentences").texts == ("This one is long enough.",)
    assert cut([Text("1", "t", text)], "documents").texts == (text,)


def test_notes_share_no_patient_with_the_attackers() -> None:
    texts = texts_of_notes(SIZES, 0)
    stored = {value for item in texts.personal for kind, value in item.spans if kind == "name"}
    own = {value for item in texts.personal_own for kind, value in item.spans if kind == "name"}
    assert stored
    assert own
    assert not stored & own
