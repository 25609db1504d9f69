"""Verdicts, the run as a whole, the files that it writes, and the gate."""

from __future__ import annotations

import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from audit.scenes import notes_scene
from vecguard.audit.access import access_rows
from vecguard.audit.attacks import ATTACKS
from vecguard.audit.defence import parse_defence
from vecguard.audit.gate import breaches
from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import Audit, judge
from vecguard.audit.page import render
from vecguard.audit.reading import Reading
from vecguard.audit.report import leakage_table, utility_table, write_json
from vecguard.audit.run import Plan, run_audit
from vecguard.policy.audit import AuditThresholds
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.explain import explain
from vecguard.policy.load import loads

NOISED = "rotation+gaussian:ratio=1"


@cache
def small_audit() -> Audit:
    defences = (parse_defence("rotation"), parse_defence(NOISED))
    return run_audit(notes_scene(), Plan(("inversion", "linkage"), defences, DEFAULT_POLICY), lambda *_: None)


def reading(value: float, pairs: int = 0, metric: str = "token F1") -> Reading:
    return Reading("words", metric, Interval(value, value - 0.01, value + 0.01, 9), pairs)


@pytest.mark.parametrize(
    ("value", "undefended", "verdict"),
    [(0.21, 0.7, "at the floor"), (0.4, 0.7, "weakened"), (0.6, 0.7, "broken"), (0.21, 0.4, "not measured")],
)
def test_a_verdict_needs_an_attack_that_works(value: float, undefended: float, verdict: str) -> None:
    attack = ATTACKS.load("inversion")()
    (result,) = judge(attack, "d", [reading(value)], [reading(undefended)], 0.2)
    assert result.verdict == verdict


def test_pairs_make_it_another_adversarys_and_say_from_where_it_breaks() -> None:
    attack = ATTACKS.load("attribute")()
    readings = [reading(0.1, metric="accuracy"), reading(0.4, 10, "accuracy"), reading(0.9, 100, "accuracy")]
    clear = [reading(0.9, metric="accuracy"), reading(0.9, 10, "accuracy")]
    thief, informed = judge(attack, "d", readings, clear, 0.1)
    assert (thief.adversary, thief.verdict, thief.breaks_at) == ("A", "at the floor", None)
    assert (informed.adversary, informed.verdict, informed.breaks_at) == ("B", "broken", 100)


def test_the_run_tells_defences_apart() -> None:
    audit = small_audit()
    verdicts = {(r.attack, r.defence): r.verdict for r in audit.results}
    assert verdicts["inversion", "rotation"] == verdicts["inversion", NOISED] == "at the floor"
    assert verdicts["linkage", "rotation"] == verdicts["linkage", NOISED] == "broken"
    by_defence = {r.defence: r.breaks_at for r in audit.results if r.attack == "linkage"}
    assert (by_defence["rotation"] or 0) <= (by_defence[NOISED] or 0)
    assert any("BREAKS" in f.text and f.defence == NOISED for f in audit.findings)
    assert {point.factor for point in audit.risks} == {"dimension"}


def test_a_run_can_be_repeated() -> None:
    again = run_audit(notes_scene(), Plan(("linkage",), (parse_defence(NOISED),), risks=False), lambda *_: None)
    (mine,) = [r for r in small_audit().results if r.attack == "linkage" and r.defence == NOISED]
    assert [r for r in again.results if r.defence == NOISED] == [mine]


def test_the_json_has_its_version_first_and_every_figure(tmp_path: Path) -> None:
    write_json(small_audit(), tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    assert next(iter(document)) == "format"
    assert document["format"] == 1
    assert [d["name"] for d in document["defences"]] == ["clear", "rotation", NOISED]
    assert document["defences"][0]["utility"]["bits"] is None
    assert document["results"][0]["readings"][0]["interval"]["value"] > 0.4


class Links(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")
        ]


def test_the_page_stands_alone_and_says_where_it_breaks() -> None:
    page = render(small_audit())
    links = Links()
    links.feed(page)
    assert links.found == []
    assert "Where this breaks" in page
    assert page.count("<svg") == 2
    assert "LLM08:2025" in page


def test_the_terminal_shows_every_defence() -> None:
    console = Console(width=200, record=True)
    console.print(leakage_table(small_audit()))
    console.print(utility_table(small_audit()))
    text = console.export_text()
    assert text.count(NOISED) == 2
    assert "broken from" in text


def test_the_gate_names_each_threshold_that_is_passed() -> None:
    audit = small_audit()
    assert breaches(audit, AuditThresholds(max_token_f1=1.0, min_recall=0.5)) == []
    found = breaches(audit, AuditThresholds(max_token_f1=0.01, min_recall=1.0, max_pairs_recovery=0.1))
    for name in ("max_token_f1", "max_pairs_recovery"):
        assert any(name in text and text.startswith(NOISED) for text in found)
    assert breaches(audit, AuditThresholds(max_pairs_recovery=0.1, max_pairs=1)) == []


def test_thresholds_are_part_of_the_policy_and_explained() -> None:
    policy = loads("version: 1\ncollections: [{match: '*'}]\naudit: {max_token_f1: 0.3, min_recall: 0.99}\n")
    assert policy.audit == AuditThresholds(max_token_f1=0.3, min_recall=0.99)
    lines = [line for section in explain(policy, "x") if "audit" in section.title for line in section.lines]
    assert [line.subject for line in lines] == ["token F1", "recall@10", "leaked pairs"]
    assert not any("gate" in section.title for section in explain(DEFAULT_POLICY, "x"))


def test_what_a_role_obtains_follows_from_its_grants() -> None:
    (row,) = access_rows(DEFAULT_POLICY)
    assert (row.vectors, row.scores) == ("exact", "exact")
    assert "inversion as on clear storage" in row.obtains
    (nobody,) = access_rows(loads("version: 1\naccess: {anonymous: []}\ncollections: [{match: '*'}]\n"))
    assert nobody.obtains == "nothing"
