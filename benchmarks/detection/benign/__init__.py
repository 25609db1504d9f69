"""The honest traffic of the lab, by name. Days are of the full run; they decide how narrow the bounds are."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.benign.jobs import (
    answer_evaluation,
    batch_evaluation,
    deduplicate,
    recommend,
    reindex,
)
from benchmarks.detection.benign.people import application, multi_query, semantic_cache, sessions
from benchmarks.detection.benign.user import Family
from benchmarks.detection.benign.watching import dashboard, health_probe

FAMILIES: Final = (
    Family("Zipf sessions", 1_600, sessions),
    Family("application key", 12, application),
    Family("multi-query RAG", 720, multi_query),
    Family("semantic cache", 20, semantic_cache),
    Family("batch evaluation", 60, batch_evaluation),
    Family("answer evaluation", 240, answer_evaluation),
    Family("recommend by id", 400, recommend),
    Family("deduplication", 60, deduplicate),
    Family("re-indexing", 12, reindex),
    Family("health probes", 12, health_probe),
    Family("dashboards", 160, dashboard),
)
