"""The conclusions follow the figures: each is drawn when they allow it and withheld when they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from vecguard.demo import picture, table
from vecguard.demo.attack import Leakage
from vecguard.demo.outcome import Outcome, Side

HIGH = Leakage(0.37, 0.86, 0.0, 0.0, 0.78, 0.98, 0.99, 0.64)
LOW = Leakage(0.12, 0.02, 0.0, 0.0, 0.10, 0.09, 0.02, 0.0)
PLAIN = Side(500_000, 3000, HIGH, 3000, 1.0, 0.9, 2.0, 4.0, 1.5)
SAFE = Side(0, 0, LOW, 3000, 0.995, 0.9, 4.0, 9.0, 3.0)
GOOD = Outcome(3000, 200, 2000, PLAIN, SAFE, LOW, 100, replace(LOW, guessed_diagnosis=0.34))


def verdicts(outcome: Outcome) -> list[bool]:
    return [good for good, _ in outcome.findings()]


def test_good_figures_speak_for_the_protection_but_the_open_end_is_told() -> None:
    assert verdicts(GOOD) == [True, True, True, True, True, False]
    assert "34%" in GOOD.findings()[-1][1]


def test_an_attack_that_fails_undefended_shows_nothing() -> None:
    weak = replace(GOOD, unprotected=replace(PLAIN, leakage=replace(HIGH, words_f1=0.49)))
    assert not weak.attack_works()
    assert "FAILS" in weak.findings()[0][1]


def test_a_weak_nearest_note_attack_is_said_to_be_weak() -> None:
    strong = replace(GOOD, unprotected=replace(PLAIN, leakage=replace(HIGH, nearest_token_f1=0.6)))
    assert "too weak" in GOOD.findings()[0][1]
    assert "too weak" not in strong.findings()[0][1]


@pytest.mark.parametrize("measure", ["nearest_token_f1", "words_f1", "guessed_diagnosis", "guessed_name"])
def test_leakage_above_the_floor_is_named(measure: str) -> None:
    leaky = replace(GOOD, protected=replace(SAFE, leakage=replace(LOW, **{measure: getattr(LOW, measure) + 0.05})))
    assert leaky.above_floor() == [measure]
    assert measure in leaky.findings()[1][1]


def test_fewer_notes_tolerate_more_chance() -> None:
    above = replace(SAFE, leakage=replace(LOW, words_f1=LOW.words_f1 + 0.05))
    assert replace(GOOD, protected=above).above_floor()
    assert not replace(GOOD, protected=above, notes=200).above_floor()


def test_readable_payload_and_lost_recall_are_told() -> None:
    assert verdicts(replace(GOOD, protected=replace(SAFE, readable_bytes=40)))[2] is False
    assert verdicts(replace(GOOD, protected=replace(SAFE, readable_notes=1)))[2] is False
    assert verdicts(replace(GOOD, protected=replace(SAFE, intact_notes=2999)))[3] is False
    assert verdicts(replace(GOOD, protected=replace(SAFE, recall=0.98)))[4] is False


def test_json_holds_every_figure() -> None:
    figures = json.loads(GOOD.to_json())
    assert figures["protected"]["recall"] == 0.995
    assert figures["unprotected"]["leakage"]["guessed_name"] == 0.64


def printed(part: object) -> str:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    table.show(console, part)  # type: ignore[arg-type]
    return console.export_text()


def test_the_table_shows_all_three_columns() -> None:
    text = printed(table.results(GOOD))
    line = next(line for line in text.splitlines() if "word F1" in line)
    assert [cell for cell in line.split() if cell[0].isdigit()] == ["0.780", "0.100", "0.100"]
    assert "500,000" in text
    assert "2,000" in text  # notes a second, unprotected


def test_one_point_is_shown_from_three_sides() -> None:
    clear = {"text": "Anna [bold]Keller[/bold]"}
    sealed = {"_p": {"text": "vg:abcdef"}, "_vg": "vgr1.entry"}
    text = printed(table.stolen_point((clear, [0.25] * 8), (sealed, [-0.5] * 8), {"text": "read back"}))
    [line] = [line for line in text.splitlines() if "│ text" in line]
    # Payload text is never taken for markup, and the sealed field stands beside the clear one.
    assert [cell.strip() for cell in line.split("│")[2:5]] == ["Anna [bold]Keller[/bold]", "vg:abcdef", "read back"]
    assert any("_vg" in line and "vgr1.entry" in line for line in text.splitlines())
    assert "+0.250" in text
    assert "-0.500" in text


def test_leaves_of_a_nested_payload() -> None:
    payload = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert table.leaves(payload) == [(("a", "b", "c"), 1), (("a", "d"), [2]), (("e",), None)]


def test_findings_are_marked_by_what_they_say() -> None:
    text = printed(table.findings(GOOD))
    assert text.count("✓") == 5
    assert text.count("! Not covered") == 1


def test_the_picture_is_a_png_of_the_stated_size(tmp_path: Path) -> None:
    path = tmp_path / "demo.png"
    picture.draw(GOOD, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    assert (width, height) == tuple(int(side * picture.DPI) for side in picture.SIZE_INCHES)


def test_the_picture_draws_the_figures() -> None:
    labels, series = picture.leakage_series(GOOD)
    assert len(labels) == 4
    assert series["unprotected"] == [0.37, 0.78, 0.99, 0.64]
    assert series["protected"] == series["floor"]
    assert picture.use_series(GOOD)[1]["protected"] == [0.995, 0.9]
