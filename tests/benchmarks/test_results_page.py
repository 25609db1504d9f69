"""The results page is made of the runs' JSON, and of nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.at_rest import measure_cost
from benchmarks.machine import describe_machine
from benchmarks.overhead import QUICK, Measure, Run
from benchmarks.processes import ROOT
from benchmarks.report import write_json
from benchmarks.results_page import OPENING, results_page, sections_of
from benchmarks.routes import ROUTES
from benchmarks.summary import PHASES, aims, summarise
from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import Audit, DefenceOutcome
from vecguard.audit.report import write_json as write_audit
from vecguard.audit.utility import Utility
from vecguard.errors import ConfigError


def _overhead(folder: Path, name: str = "overhead", aimed: bool = True) -> None:
    measures = [
        Measure(384, phase, route.key, 0, 50, 1.0, [2.0] * 50, 0.0 if route.middle == "none" else 0.02, 0.03, 0.01)
        for phase in (*PHASES, *(f"{phase}, one" for phase in PHASES))
        for route in ROUTES
    ]
    run = Run("an engine", measures, {384: {route.key: 0.75 for route in ROUTES}}, {"engine": 123.0})
    rows = summarise(measures, QUICK.batch)
    found = aims(rows) if aimed else []
    write_json(folder / f"{name}.json", describe_machine(), QUICK, rows, run, found)


def test_the_page_holds_every_row_and_verdict(tmp_path: Path) -> None:
    _overhead(tmp_path)
    page = results_page(tmp_path)
    assert all(page.count(f"| 384 | {route.name} | ") == len(PHASES) for route in ROUTES)
    assert "| 384 | bare | 5,000 | 1.00 | 2.00 | 2.00 | 400 | 1.00 | 600 |" in page
    assert page.count("| yes |") == 5
    assert "engine 123 MiB" in page
    assert "Protection alone" not in page


def test_milvus_has_a_section_of_its_own_without_aims(tmp_path: Path) -> None:
    _overhead(tmp_path, "overhead_milvus", aimed=False)
    page = results_page(tmp_path)
    assert "## What protection costs before Milvus" in page
    assert "with an engine behind" in page
    assert all(page.count(f"| 384 | {route.name} | ") == len(PHASES) for route in ROUTES)
    assert "Aims" not in page
    _overhead(tmp_path)
    assert results_page(tmp_path).count("### Aims") == 1


def test_protection_and_recall_are_added_where_they_were_measured(tmp_path: Path) -> None:
    speed = {"dims": 768, "batch": 100, "protected_per_s": 31_234.5, "opened_per_s": 40_000.0, "query_us": 50.4}
    (tmp_path / "protect.json").write_text(json.dumps({"machine": describe_machine(), "speeds": [speed]}))
    quality = {"title": "1, z 2", "recall": 0.99876, "ndcg": 0.8, "candidates": 122.0, "engine_calls": 1.5}
    quality |= {"certified": 0.998, "score_error": 2e-7}
    run = {"machine": describe_machine(), "documents": 5_000, "questions": 500, "variants": [quality]}
    (tmp_path / "recall_squad.json").write_text(json.dumps(run))
    page = results_page(tmp_path)
    assert "| 768 | 31,234 | 40,000 | 50 |" in page
    assert "| squad, 5,000 documents, 500 questions | 1, z 2 | 0.9988 | 0.800 | 122 | 1.50 | 0.998 | 2.0e-07 |" in page
    assert "What protection costs" not in page


def test_without_a_run_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run the benchmarks first"):
        results_page(tmp_path)


def test_the_cost_of_a_record_at_rest(tmp_path: Path) -> None:
    cost = measure_cost(24, "sealed", seconds=0.01)
    assert cost.stored_bytes > cost.record_bytes + cost.payload_bytes > cost.clear_payload_bytes
    assert min(cost.seal_us, cost.open_us) > 0
    (tmp_path / "at_rest.json").write_text(json.dumps({"machine": describe_machine(), "costs": [asdict(cost)]}))
    page = results_page(tmp_path)
    assert "## What sealing costs a record" in page
    assert f"| 24 | sealed | {cost.seal_us:.0f} | {cost.open_us:.0f} | {cost.clear_bytes:,.0f} |" in page


def test_the_cost_of_a_rotation(tmp_path: Path) -> None:
    turned = {"dims": 384, "records": 2000, "seconds": 10.0, "job_cpu_s": 3.0, "engine_cpu_s": 1.0}
    (tmp_path / "rotation.json").write_text(json.dumps({"machine": describe_machine(), "turned": [turned]}))
    page = results_page(tmp_path)
    assert "What a rotation of a data key costs" in page
    assert "| 384 | 1.50 | 0.50 | 500 | 200 |" in page


def test_sections_of_runs_that_are_not_here_stay(tmp_path: Path) -> None:
    turned = {"dims": 384, "records": 2000, "seconds": 10.0, "job_cpu_s": 3.0, "engine_cpu_s": 1.0}
    (tmp_path / "rotation.json").write_text(json.dumps({"machine": describe_machine(), "turned": [turned]}))
    first = results_page(tmp_path)
    (tmp_path / "rotation.json").unlink()
    speed = {"dims": 768, "batch": 100, "protected_per_s": 31_234.5, "opened_per_s": 40_000.0, "query_us": 50.4}
    (tmp_path / "protect.json").write_text(json.dumps({"machine": describe_machine(), "speeds": [speed]}))
    second = results_page(tmp_path, first + "\n## By hand\n\nword\n")
    assert [line for line in second.splitlines() if line.startswith("## ")] == [
        "## Protection alone",
        "## What a rotation of a data key costs",
        "## By hand",
    ]
    assert sections_of(second)["## What a rotation of a data key costs"] in first
    assert results_page(tmp_path, second) == second


def test_a_section_that_was_run_again_is_replaced(tmp_path: Path) -> None:
    turned = {"dims": 384, "records": 2000, "seconds": 10.0, "job_cpu_s": 3.0, "engine_cpu_s": 1.0}
    (tmp_path / "rotation.json").write_text(json.dumps({"machine": describe_machine(), "turned": [turned]}))
    first = results_page(tmp_path)
    (tmp_path / "rotation.json").write_text(
        json.dumps({"machine": describe_machine(), "turned": [turned | {"records": 1000}]})
    )
    page = results_page(tmp_path, first)
    assert "| 384 | 3.00 | 1.00 | 250 | 100 |" in page
    assert "| 384 | 1.50 |" not in page


def test_the_page_in_the_repository_is_made_of_sections_that_are_known() -> None:
    """Nothing is lost where one section of it is made anew."""
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert page == "\n".join([OPENING, *sections_of(page).values()])


def test_a_report_of_the_lab_is_put_beside_the_runs_with_the_machine_and_the_words(tmp_path: Path) -> None:
    utility = Utility(Interval(1, 1, 1, 9), Interval(0.7, 0.6, 0.8, 9), None, None, 10.0, 9.0, 8.0, 1536.0, math.inf)
    counts = {"records under attack": 9, "words in the longest of them": 16, "other stored records": 9}
    audit = Audit("medquad", "minilm", 384, 0, counts, 0.2, (), (DefenceOutcome("clear", (), utility),), ())
    write_audit(audit, tmp_path / "report.json")
    result = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    page = results_page(tmp_path / "out")
    assert "## What attackers recover: medquad, sentences of at most 16 words" in page
    assert "`vecguard audit run --data DIR --words 16`" in page
    assert f"python {describe_machine()['python']}" in page
    assert "load average" not in page
