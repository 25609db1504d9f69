"""Verdicts, the run as a whole, the files that it writes, and the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from audit.scenes import notes_scene
from benchmarks.leakage_page import audit_section
from benchmarks.machine import describe_machine
from vecguard.audit.access import VECTORS, access_rows, by_view
from vecguard.audit.attacks import ATTACKS
from vecguard.audit.attacks.personal import PARTS
from vecguard.audit.defence import PolicyDefence, parse_defence
from vecguard.audit.findings import unmeasured
from vecguard.audit.gate import ATTACKS_NEEDED, breaches, check_report
from vecguard.audit.inverter.generative import GenerativeInverter
from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import AttackInfo, Audit, judge
from vecguard.audit.page import render
from vecguard.audit.reading import Reading
from vecguard.audit.report import audit_document, leakage_table, read_json, utility_table, write_json
from vecguard.audit.run import Plan, run_audit
from vecguard.audit.tables import TEXT_HEADS, floor_text, personal_heads, personal_rows, text_rows
from vecguard.audit.took import Took
from vecguard.cli import app
from vecguard.errors import ConfigError
from vecguard.policy.audit import AuditThresholds
from vecguard.policy.credentials import hash_key, new_key
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.explain import explain
from vecguard.policy.load import loads
from vecguard.policy.model import RerankRule

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


@pytest.mark.slow
def test_the_run_tells_defences_apart() -> None:
    audit = small_audit()
    verdicts = {(r.attack, r.defence): r.verdict for r in audit.results}
    assert verdicts["inversion", "rotation"] == verdicts["inversion", NOISED] == "at the floor"
    assert verdicts["linkage", "rotation"] == verdicts["linkage", NOISED] == "broken"
    by_defence = {r.defence: r.breaks_at for r in audit.results if r.attack == "linkage"}
    assert (by_defence["rotation"] or 0) <= (by_defence[NOISED] or 0)
    assert any("BREAKS" in f.text and f.defence == NOISED for f in audit.findings)
    assert {point.factor for point in audit.risks} == {"dimension"}
    for figure in (figure for point in audit.risks for figure in point.figures.values()):
        assert figure.low <= figure.value <= figure.high
        assert figure.count == len(notes_scene().victims)
    assert any(figure.low < figure.high for point in audit.risks for figure in point.figures.values())


def test_a_run_can_be_repeated() -> None:
    again = run_audit(notes_scene(), Plan(("linkage",), (parse_defence(NOISED),), risks=False), lambda *_: None)
    (mine,) = [r for r in small_audit().results if r.attack == "linkage" and r.defence == NOISED]
    assert [r for r in again.results if r.defence == NOISED] == [mine]


def test_the_json_has_its_version_first_and_every_figure(tmp_path: Path) -> None:
    write_json(small_audit(), tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    assert next(iter(document)) == "format"
    assert document["format"] == 2
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


def test_the_results_page_has_its_tables_and_says_which_pairs_there_were_no_records_for() -> None:
    page = audit_section("audit_notes", audit_document(small_audit()))
    assert "| 384 | 1,000 | 10,000 |" in page
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {NOISED} | ") and "not enough" in line]
    assert row.count("not enough records") == 3
    assert "Where it breaks" in page
    assert "| dimension | 96 |" in page
    assert "in the longest of them" in page
    assert "Not enough records for 384, 1,000, 10,000 leaked pairs" in render(small_audit())


def test_inverted_text_is_shown_by_every_measure() -> None:
    rows = list(text_rows(small_audit()))
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("Text inversion without key", "-", name) for name in ("clear", "rotation", NOISED)
    ]
    best_f1 = max(r.value for r in small_audit().results if r.attack == "inversion" and r.defence == "clear")
    assert rows[0][4] == f"{best_f1:.3f}"
    assert all(len(row) == len(TEXT_HEADS) for row in rows)
    assert "Inverted text by every measure" in render(small_audit())
    assert "Inverted text by every measure" in audit_section("audit_notes", audit_document(small_audit()))


def test_personal_data_is_shown_by_type() -> None:
    def of(how: str, share: float, pairs: int) -> list[Reading]:
        metrics = {PARTS: share, "name: tokens": share / 2, "name: whole": share / 4}
        return [replace(reading(value, pairs, metric), variant=how) for metric, value in metrics.items()]

    readings = (*of("words", 0.4, 0), *of("nearest", 0.3, 0), *of("words", 0.2, 100), *of("nearest", 0.6, 100))
    attack = ATTACKS.load("personal")()
    found = judge(attack, "d", readings, readings, 0.1)
    audit = replace(small_audit(), results=tuple(found), attacks=(AttackInfo.of(attack),))
    assert personal_heads(audit) == ("defence", "leaked pairs", "how", "all tokens", "name")
    assert list(personal_rows(audit)) == [
        ("d", "-", "words", "0.400", "0.100 / 0.200"),
        ("d", "100", "nearest", "0.600", "0.150 / 0.300"),
    ]
    assert "Personal data by type" in render(audit)


def test_a_floor_that_depends_on_the_defence_is_shown_as_a_range() -> None:
    (one,) = judge(ATTACKS.load("inversion")(), "d", [reading(0.3)], [reading(0.7)], 0.2)
    clear, other = replace(one, defence="clear", floor=1.0), replace(one, defence="e", floor=0.3)
    assert floor_text([clear, one]) == "0.200"
    assert floor_text([clear, one, other]) == "0.200 to 0.300"
    assert floor_text([clear]) == "1.000"


def test_the_gate_names_each_threshold_that_is_passed() -> None:
    audit = small_audit()
    assert breaches(audit, AuditThresholds(max_token_f1=1.0, min_recall=0.5)) == []
    found = breaches(audit, AuditThresholds(max_token_f1=0.01, min_recall=1.0, max_pairs_recovery=0.1))
    for name in ("max_token_f1", "max_pairs_recovery"):
        assert any(name in text and text.startswith(NOISED) for text in found)
    assert breaches(audit, AuditThresholds(max_pairs_recovery=0.1, max_pairs=1)) == []


@cache
def default_audit() -> Audit:
    """Of the default policy, as a report with every attack that the gate needs has it; one of them was run."""
    defences = (PolicyDefence("policy (*)", DEFAULT_POLICY.collections[0].vector("")),)
    audit = run_audit(notes_scene(), Plan(("linkage",), defences, DEFAULT_POLICY, risks=False), lambda *_: None)
    return replace(audit, attacks=tuple(AttackInfo.of(ATTACKS.load(name)()) for name in ATTACKS_NEEDED))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_json(default_audit(), tmp_path / "report.json")
    assert read_json(tmp_path / "report.json") == default_audit()


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "not a report"), ("no JSON", "not a report"), ('{"format": 99}', "format 99"), (None, "No such file")],
)
def test_what_is_no_report_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_json(tmp_path / "report.json")


def test_a_report_is_held_against_the_rule_that_it_attacked_and_no_other() -> None:
    rule = DEFAULT_POLICY.collections[0].vector("")
    check_report(default_audit(), rule)
    other = rule.model_copy(update={"rerank": RerankRule(certainty=3.0)})
    with pytest.raises(ConfigError, match="not one of this policy's rule"):
        check_report(default_audit(), other)
    with pytest.raises(ConfigError, match="not one of this policy's rule"):
        check_report(replace(default_audit(), defences=default_audit().defences[:1]), rule)


def test_a_report_without_an_attack_that_the_gate_needs_opens_nothing() -> None:
    fewer = replace(default_audit(), attacks=default_audit().attacks[1:])
    with pytest.raises(ConfigError, match="lacks the attacks inversion"):
        check_report(fewer, DEFAULT_POLICY.collections[0].vector(""))


def test_attacks_that_the_gate_does_not_run_itself_say_nothing_in_a_report_either() -> None:
    audit = default_audit()
    (needed,) = [r for r in audit.results if r.defence != "clear"]
    other = replace(needed, attack="trilateration", readings=(reading(0.9),))
    more = replace(audit, results=(*audit.results, other))
    thresholds = AuditThresholds(max_token_f1=0.5)
    assert breaches(more, thresholds) == breaches(audit, thresholds) == []
    assert breaches(replace(more, results=(replace(other, attack="inversion"),)), thresholds) != []


@pytest.mark.parametrize(("thresholds", "status"), [("{min_recall: 0.5}", 0), ("{max_pairs_recovery: 0.1}", 2)])
def test_the_gate_judges_a_report(thresholds: str, status: int, tmp_path: Path) -> None:
    write_json(default_audit(), tmp_path / "report.json")
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"version: 1\ncollections: [{{match: '*'}}]\naudit: {thresholds}\n")
    given = ["--policy", str(policy), "--report", str(tmp_path / "report.json")]
    result = CliRunner().invoke(app, ["audit", "gate", *given])
    assert result.exit_code == status, result.output


def test_thresholds_are_part_of_the_policy_and_explained() -> None:
    policy = loads("version: 1\ncollections: [{match: '*'}]\naudit: {max_token_f1: 0.3, min_recall: 0.99}\n")
    assert policy.audit == AuditThresholds(max_token_f1=0.3, min_recall=0.99)
    lines = [line for section in explain(policy, "x") if "audit" in section.title for line in section.lines]
    assert [line.subject for line in lines] == ["token F1", "recall@10", "leaked pairs"]
    assert not any("gate" in section.title for section in explain(DEFAULT_POLICY, "x"))


def test_what_a_role_obtains_follows_from_its_grants() -> None:
    (row,) = access_rows(DEFAULT_POLICY, {})
    assert (row.vectors, row.scores) == ("exact", "exact")
    assert "inversion as on clear storage" in row.obtains
    assert row.recovered is None
    nobodys = loads("version: 1\naccess: {anonymous: []}\ncollections: [{match: '*'}]\n")
    (nobody,) = access_rows(nobodys, {VECTORS: Interval(0.9, 0.8, 1.0, 9)})
    assert (nobody.obtains, nobody.recovered) == ("nothing", None)


def test_a_role_has_the_figure_of_what_it_is_shown() -> None:
    readings = [
        replace(reading(value), variant=variant)
        for variant, value in {
            "24 queries, exact scores": 0.2,
            "96 queries, exact scores": 0.7,
            "96 queries, 2 decimals": 0.5,
            "vectors asked for": 0.8,
        }.items()
    ]
    roles = """\
version: 1
access:
  anonymous: []
  api_keys: [{name: k, hash: HASH, roles: [all, exact, two, three, order]}]
  roles:
  - {name: all, grants: [{actions: [read]}], return_vectors: exact}
  - {name: exact, grants: [{actions: [read]}], return_vectors: deny}
  - {name: two, grants: [{actions: [read]}], return_vectors: deny, scores: rounded}
  - {name: three, grants: [{actions: [read]}], return_vectors: deny, scores: rounded, score_decimals: 3}
  - {name: order, grants: [{actions: [read]}], return_vectors: deny, scores: hidden}
collections: [{match: '*'}]
""".replace("HASH", json.dumps(hash_key(new_key())))
    found = {row.role: row.recovered for row in access_rows(loads(roles), by_view(readings, 96))}
    values = {role: figure and figure.value for role, figure in found.items() if role in ("all", "exact", "two")}
    assert values == {"all": 0.8, "exact": 0.7, "two": 0.5}
    assert found["three"] is found["order"] is None


def test_what_says_nothing_is_named_with_its_reason() -> None:
    attack, labels = ATTACKS.load("inversion")(), ATTACKS.load("attribute")()
    found = [*judge(attack, "clear", [reading(0.4)], [reading(0.4)], 0.2)]
    infos = (AttackInfo.of(attack), AttackInfo.of(labels))
    audit = replace(small_audit(), results=tuple(found), attacks=infos)
    weak, nothing = unmeasured(audit)
    assert "token F1 0.400 on clear storage and needs 0.5" in weak
    assert "no labels" in nothing
    assert "no labels" in audit_section("audit_notes", audit_document(replace(audit, risks=())))
    assert unmeasured(small_audit()) == []


def test_defences_that_are_not_begun_in_time_are_named() -> None:
    took = iter([False, False, True])
    plan = Plan(
        ("linkage",),
        (parse_defence("rotation"), parse_defence(NOISED)),
        risks=False,
        over=lambda: next(took),
    )
    audit = run_audit(notes_scene(), plan, lambda *_: None)
    assert [outcome.name for outcome in audit.defences] == ["clear", "rotation"]
    assert audit.left_out == (NOISED,)
    page = audit_section(
        "defences_notes", {"machine": describe_machine(), **audit_document(replace(audit, took=Took(90.0, 60.0)))}
    )
    assert f"Left out, as time was over: {NOISED}" in page
    assert "2 minutes by the clock, with 1 minutes of CPU" in page


def test_a_comparison_says_what_its_slow_inverter_read() -> None:
    (one,) = judge(ATTACKS.load("inversion")(), "clear", [reading(0.6)], [reading(0.6)], 0.2)
    slow = replace(reading(0.6), variant=GenerativeInverter.name, interval=Interval(0.6, 0.5, 0.7, 24))
    audit = replace(small_audit(), results=(replace(one, readings=(*one.readings, slow)),))
    page = audit_section("defences_notes", audit_document(audit))
    assert "reads the first 24 records" in page
    assert "0.600 [0.590, 0.610]" in page
    assert "was not used" in audit_section("defences_notes", audit_document(small_audit()))
