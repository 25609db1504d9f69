"""Personal spans: reading them, and finding them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecguard.audit.pii import Tagged, read_tagged, recalled, recalled_parts, tagged_notes
from vecguard.demo.notes import make_notes
from vecguard.errors import ConfigError

TEXT = "Ann Lee: ann.lee@mail.example, call 555 0199"
TAGGED = Tagged(TEXT, (("name", "Ann Lee"), ("e-mail", "ann.lee@mail.example"), ("number", "555 0199")))


def test_spans_are_read_by_type_and_others_left_out(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 7, "label": "PERSON"}, {"start": 9, "end": 12, "label": "ORGANIZATION"}]
    (tmp_path / "sentences.jsonl").write_text(json.dumps({"text": TEXT, "spans": spans}) + "\n")
    assert read_tagged(tmp_path) == [Tagged(TEXT, (("name", "Ann Lee"),))]


@pytest.mark.parametrize("line", ["{}", '{"text": 1, "spans": []}', '{"text": "a", "spans": [{"start": 0}]}', "["])
def test_a_line_of_another_form_is_an_error_that_names_the_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "tagged.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"tagged\.jsonl"):
        read_tagged(tmp_path / "tagged.jsonl")


def test_a_whole_span_counts_only_in_one_run() -> None:
    hits = recalled(["lee, ann called 555-0199"], [TAGGED])
    assert {kind: float(values[0]) for kind, values in hits.items()} == {"e-mail": 0.0, "name": 0.0, "number": 1.0}


def test_parts_of_spans_count_in_any_order() -> None:
    shares = recalled_parts(["lee went to example"], [TAGGED])
    assert {kind: float(values[0]) for kind, values in shares.items()} == {"e-mail": 0.5, "name": 0.5, "number": 0.0}


def test_the_fields_of_notes_are_their_spans() -> None:
    for note, tagged in zip(make_notes(20, 3), tagged_notes(make_notes(20, 3)), strict=True):
        assert all(value in note.text for _, value in tagged.spans)
        assert (note.patient in note.text) == ("name" in dict(tagged.spans))
