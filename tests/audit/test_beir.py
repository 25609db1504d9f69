"""Reading data sets in the BEIR layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from vecguard.audit.beir import Dataset, read_dataset
from vecguard.errors import ConfigError


def _write(folder: Path, packed: bool = False, id_key: str = "id") -> Path:
    corpus = [{id_key: f"d{i}", "title": "T" if i % 2 else "", "text": f"text {i}"} for i in range(50)]
    queries = [{id_key: f"q{i}", "text": f"question {i}"} for i in range(12)]
    for stem, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if packed:
            (folder / f"{stem}.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines))
        else:
            (folder / f"{stem}.jsonl").write_bytes(lines)
    judged = "".join(f"q{i}\td{4 * i}\t1\n" for i in range(10)) + "q10\td1\t0\n"
    (folder / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\n" + judged)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_sample_holds_each_questions_documents(tmp_path: Path, packed: bool) -> None:
    dataset = read_dataset(_write(tmp_path, packed), documents=20, questions=6)
    ids = [text.id for text in dataset.documents]
    assert len(ids) == len(set(ids)) == 20
    assert len(dataset.questions) == 6
    for question in dataset.questions:
        assert dataset.relevant[question.id] == {f"d{4 * int(question.id[1:])}"}
        assert dataset.relevant[question.id] <= set(ids)


def test_documents_keep_the_order_of_the_file(tmp_path: Path) -> None:
    numbers = [int(text.id[1:]) for text in read_dataset(_write(tmp_path), 20, 6).documents]
    assert numbers == sorted(numbers)


def test_the_seed_decides_the_sample(tmp_path: Path) -> None:
    def sample(seed: int) -> Dataset:
        return read_dataset(tmp_path, 20, 6, seed)

    _write(tmp_path)
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_unjudged_and_irrelevant_questions_are_left_out(tmp_path: Path) -> None:
    dataset = read_dataset(_write(tmp_path), 50, 50)
    assert {question.id for question in dataset.questions} == {f"q{i}" for i in range(10)}


def test_underscored_ids_of_published_archives_are_read(tmp_path: Path) -> None:
    assert read_dataset(_write(tmp_path, id_key="_id"), 20, 6) == read_dataset(_write(tmp_path), 20, 6)


def test_title_goes_before_the_text(tmp_path: Path) -> None:
    by_id = {text.id: text.full for text in read_dataset(_write(tmp_path), 50, 5).documents}
    assert by_id["d1"] == "T. text 1"
    assert by_id["d2"] == "text 2"


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, missing: str) -> None:
    (_write(tmp_path) / missing).unlink()
    with pytest.raises(ConfigError, match=missing.split(".", maxsplit=1)[0]):
        read_dataset(tmp_path, 20, 6)
