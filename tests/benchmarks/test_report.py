"""Tables, JSON and picture of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.overhead import QUICK, Measure, Run
from benchmarks.report import draw, print_run, write_json
from benchmarks.routes import ROUTES
from benchmarks.summary import PHASES, aims, summarise

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run() -> Run:
    measures = [
        Measure(dims, phase, route.key, 0, 50, 1.0, [2.0] * 50, 0.0 if route.middle == "none" else 0.02, 0.03, 0.01)
        for dims in (384, 768)
        for phase in (*PHASES, *(f"{phase}, one" for phase in PHASES))
        for route in ROUTES
    ]
    return Run(
        "an engine", measures, {dims: {route.key: 0.9 for route in ROUTES} for dims in (384, 768)}, {"engine": 100.0}
    )


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_json_is_strict_and_holds_all_rows(run: Run, tmp_path: Path) -> None:
    rows = summarise(run.measures, QUICK.batch)
    write_json(tmp_path / "o.json", describe_machine(), QUICK, rows, run, aims(rows))
    document = json.loads((tmp_path / "o.json").read_text(), parse_constant=_refuse)
    assert len(document["summary"]) == 2 * len(PHASES) * len(ROUTES)
    assert len(document["measures"]) == len(run.measures)
    assert all("latencies_ms" not in measure for measure in document["measures"])
    assert {row["middle_cpu_ratio"] for row in document["summary"] if row["route"] == "bare"} == {1.0}
    assert document["machine"]["cores"] >= 1


def test_the_terminal_shows_every_route_and_aim(run: Run) -> None:
    rows = summarise(run.measures, QUICK.batch)
    console = Console(record=True, width=120)
    print_run(console, rows, run, aims(rows))
    text = console.export_text()
    assert all(text.count(route.name) >= 2 * len(PHASES) for route in ROUTES)
    assert text.count("CPU added by protection") == 8
    assert "0.900" in text


def test_the_picture_is_a_png(run: Run, tmp_path: Path) -> None:
    draw(tmp_path / "o.png", summarise(run.measures, QUICK.batch))
    assert (tmp_path / "o.png").read_bytes().startswith(PNG_SIGNATURE)
