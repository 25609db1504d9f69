"""The benchmarks over the real engine, pass-through and proxy, small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.backend import Backend, QdrantBackend
from benchmarks.embeddings import Embedded
from benchmarks.milvus_backend import MilvusBackend
from benchmarks.overhead import Plan, bench, measure_overhead
from benchmarks.recall import VARIANTS, measure_quality, servers
from benchmarks.routes import BARE, DIRECT, ROUTES
from benchmarks.summary import aims, summarise
from benchmarks.vectors import synthetic
from vecguard.audit.beir import Dataset, Text

PLAN = Plan(dims=(64,), points=400, queries=60, rounds=2, single_s=0.3, many_s=0.6, index=False)


def _silent(what: str) -> None:
    """Progress that nobody reads."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(QdrantBackend, id="qdrant"),
        pytest.param(lambda: MilvusBackend(real=False), id="milvus-lite"),
        pytest.param(lambda: MilvusBackend(real=True), id="milvus"),
    ],
)
def test_every_route_answers_the_same_load(tmp_path: Path, backend: Callable[[], Backend]) -> None:
    with bench(tmp_path, tmp_path, backend=backend()) as processes:
        run = measure_overhead(processes, PLAN, lambda dims: synthetic(400, 60, dims, 1), _silent)
    assert run.engine == backend().engine
    recall = run.recall[64]
    assert recall[DIRECT.key] == recall[BARE.key] == 1.0
    assert recall["rotate"] > 0.99
    assert (
        recall["default"] > 0.98
    )  # of 600 records found one is missed on average, as the keys are, and six once in 4,000
    assert recall["noise"] < 0.9
    for route in ROUTES:
        mine = [measure for measure in run.measures if measure.route == route.key]
        assert sum(m.calls for m in mine if m.phase == "upsert") == 4
        assert sum(m.calls for m in mine if m.phase == "search") > 10
        assert (sum(m.middle_cpu_s for m in mine) > 0) == (route is not DIRECT)
    rows = summarise(run.measures, PLAN.batch)
    assert all(row.middle_cpu_ratio > 0 for row in rows if row.route != DIRECT.key and row.phase == "search")
    assert len(aims(rows)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_a_milvus_collection_is_indexed_before_it_is_searched(tmp_path: Path, real: bool) -> None:
    plan = replace(PLAN, points=3_000, rounds=1, index=True, routes=(DIRECT, BARE))
    with bench(tmp_path, tmp_path, plan.routes, MilvusBackend(real)) as processes:
        run = measure_overhead(processes, plan, lambda dims: synthetic(3_000, 60, dims, 1), _silent)
    # Near to exact, and not the same twice: the graph of each collection is its own.
    assert min(run.recall[64][DIRECT.key], run.recall[64][BARE.key]) > 0.95


@pytest.mark.slow
def test_recall_candidates_and_scores_are_seen_from_outside(tmp_path: Path) -> None:
    sample = synthetic(600, 40, 64, 2)
    dataset = Dataset(
        name="synthetic",
        documents=tuple(Text(f"d{i}", "", f"document {i}") for i in range(600)),
        questions=tuple(Text(f"q{i}", "", f"question {i}") for i in range(40)),
        relevant={f"q{i}": frozenset({f"d{(sample.rows @ sample.queries[i]).argmax()}"}) for i in range(40)},
    )
    with servers(tmp_path, tmp_path) as running:
        qualities = measure_quality(running, Embedded(dataset, sample.rows, sample.queries), _silent)
    found = {quality.variant: quality for quality in qualities}
    assert set(found) == {variant.key for variant in VARIANTS}
    assert found["clear"].recall == 1.0
    assert found["clear"].ndcg == pytest.approx(1.0)
    assert found["default"].recall >= 0.98
    assert found["default"].score_error < 1e-4
    assert found["unranked"].recall < found["default"].recall - 0.05
    assert found["unranked"].score_error > 1e-2
    assert found["unranked"].candidates == 10
    assert 50 <= found["half"].candidates <= found["default"].candidates <= found["double"].candidates <= 600
