"""The data set that results are reported on: dialogues in their order, each with one turn taken out as a question."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.detection.transcripts import dialogues, documents, write_transcripts
from vecguard.audit.beir import read_dataset

LONG = "Find me a quiet table for {} people near the river"


def rows(name: str, turns: int, source: str = "sgd-dialogue") -> list[dict[str, str]]:
    return [{"text": LONG.format(turn), "source": source, "doc": f"{name}-{turn}"} for turn in reversed(range(turns))]


def test_turns_are_put_in_order_and_what_is_no_dialogue_is_left_out() -> None:
    found = dialogues([*rows("sgd-1", 12), *rows("sgd-2", 2), *rows("wiki", 5, "wikipedia-lead")])
    assert found == {"sgd-1": [LONG.format(turn) for turn in range(12)]}


def test_other_sources_keep_their_documents_sentences(tmp_path: Path) -> None:
    article = [{"text": LONG.format(at), "source": "wikipedia-lead", "doc": "wiki-1"} for at in range(3)]
    short = {"text": LONG.format(9), "source": "wikipedia-lead", "doc": "wiki-2"}
    pool = [*article, short, *rows("sgd-1", 12)]
    assert documents(pool, "wikipedia-lead") == {"wiki-1": [LONG.format(at) for at in range(3)]}
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    assert write_transcripts(tmp_path / "pool.jsonl", tmp_path / "set", "wikipedia-lead") == 1


def test_a_question_is_a_turn_that_its_record_lacks(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for n in range(20) for row in rows(f"sgd-{n}", 4)))
    assert write_transcripts(pool, tmp_path / "set") == 20
    data = read_dataset(tmp_path / "set", 100, 100)
    assert (len(data.documents), len(data.questions)) == (20, 20)
    for question in data.questions:
        (record,) = (one for one in data.documents if one.id in data.relevant[question.id])
        assert question.text not in record.text
        assert all(LONG.format(turn) in f"{record.text} {question.text}" for turn in range(4))
