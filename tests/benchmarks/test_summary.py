"""From measures to figures and verdicts."""

from __future__ import annotations

import math

import pytest

from benchmarks.overhead import Measure
from benchmarks.summary import Row, aims, protection_aim, summarise


def _measure(route: str, phase: str, number: int, calls: int, seconds: float, middle: float) -> Measure:
    latencies = [1e3 * seconds / calls] * calls
    return Measure(384, phase, route, number, calls, seconds, latencies, middle, 0.5 * calls / 1e3, 0.1)


def _row(rows: list[Row], phase: str, route: str) -> Row:
    return next(row for row in rows if (row.phase, row.route) == (phase, route))


@pytest.fixture
def rows() -> list[Row]:
    measures = []
    for number, slow in enumerate((1, 2, 1)):
        for phase in ("upsert", "search", "search with payload"):
            measures += [
                _measure("direct", phase, number, 400, 1.0 * slow, 0.0),
                _measure("bare", phase, number, 200, 1.0 * slow, 0.1),
                _measure("noise", phase, number, 100, 1.0 * slow, 0.08),
                _measure("detect", phase, number, 100, 1.0 * slow, 0.09),
                _measure("default", phase, number, 50, 1.0 * slow, 0.08),
            ]
            measures.append(_measure("bare", f"{phase}, one", number, 10, 0.02, 0.01))
    return summarise(measures, batch=100)


def test_rates_are_medians_over_rounds(rows: list[Row]) -> None:
    assert _row(rows, "search", "bare").per_s == 200
    assert _row(rows, "upsert", "bare").per_s == 20_000


def test_ratios_compare_within_a_round(rows: list[Row]) -> None:
    """A round that is twice as slow for all routes changes no ratio."""
    assert _row(rows, "search", "noise").rate_ratio == 0.5
    assert _row(rows, "search", "direct").rate_ratio == 2.0


def test_cpu_is_told_per_call(rows: list[Row]) -> None:
    assert _row(rows, "search", "bare").middle_cpu_us == pytest.approx(500)
    noise = _row(rows, "search", "noise")
    assert noise.middle_cpu_us == pytest.approx(800)
    assert noise.middle_cpu_ratio == pytest.approx(1.6)
    assert noise.engine_cpu_us == pytest.approx(500)
    assert noise.total_cpu_ratio == pytest.approx(1.3)


def test_latency_of_one_stream_is_told_apart(rows: list[Row]) -> None:
    bare = _row(rows, "search", "bare")
    assert bare.one_p50_ms == pytest.approx(2.0)
    assert bare.p50_ms == pytest.approx(5.0)


def test_aims_say_what_is_met_and_what_is_not(rows: list[Row]) -> None:
    by_what = {aim.what: aim for aim in aims(rows)}
    added = [aim for what, aim in by_what.items() if "CPU added" in what]
    upserts = [aim for what, aim in by_what.items() if "bulk upsert" in what]
    assert [aim.measured for aim in added] == pytest.approx([0.6, 0.8] * 2)  # of protection, and detection with it
    assert not any(aim.met for aim in added)
    assert [(aim.met, aim.measured) for aim in upserts] == [(False, 0.25)]
    assert protection_aim(30_000).met
    assert not protection_aim(29_999).met


def test_a_phase_without_a_middle_process_has_no_ratio() -> None:
    measures = [_measure("bare", phase, 0, 10, 1.0, 0.0) for phase in ("upsert", "search", "search with payload")]
    assert all(math.isnan(row.middle_cpu_ratio) for row in summarise(measures, batch=1))
