"""What an audit takes of a data set, and that attacker and owner share no document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecguard.audit.beir import Text
from vecguard.audit.data import Sizes, cut, texts_of_folder, texts_of_notes
from vecguard.errors import ConfigError

SIZES = Sizes(victims=20, crowd=60, own=120, foreign=30, personal=10, documents=40, questions=5)


def beir_folder(folder: Path, documents: int = 150, kept_back: int = 0) -> Path:
    """Documents of four sentences, with one question for every tenth; the first few are kept back from training."""
    rows = [
        {
            "id": f"d{i}",
            "title": f"topic {i % 5}",
            "text": " ".join(f"Document {i} says in part {j} what nobody knows." for j in range(4)),
            **({"split": "test" if i < kept_back else "train"} if kept_back else {}),
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


def test_what_is_kept_back_from_training_is_what_is_attacked(tmp_path: Path) -> None:
    texts = texts_of_folder(beir_folder(tmp_path, kept_back=9), SIZES, seed=3)
    attacked, others = ({int(t.split()[1]) for t in part} for part in (texts.victims.texts, texts.crowd.texts))
    assert len(texts.victims) == 20
    assert attacked <= set(range(9))
    assert not (others | {int(text.split()[1]) for text in texts.own.texts}) & set(range(9))


def test_a_text_that_is_stored_elsewhere_or_known_is_not_attacked(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path, kept_back=20)
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    for row in (*rows[:10], rows[40], rows[41]):
        row["text"] += " This sentence stands in many documents."
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = texts_of_folder(folder, Sizes(victims=200, crowd=600, own=600, documents=40, questions=5), seed=3)
    parts = [set(part.texts) for part in (texts.victims, texts.crowd, texts.own)]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert "This sentence stands in many documents." not in parts[0]


def test_sentences_under_attack_can_be_short_ones(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path)
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    for row in rows:
        row["text"] += f" Short {row['id']} it is."
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = texts_of_folder(folder, SIZES, seed=3, words=4)
    assert len(texts.victims) == 20
    assert all(len(text.split()) == 4 for text in texts.victims.texts)
    assert any(len(text.split()) > 4 for text in texts.crowd.texts)
    assert not set(texts.victims.texts) & set(texts.crowd.texts)


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
