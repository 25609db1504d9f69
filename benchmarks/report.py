"""What a run says: tables for the terminal, JSON for machines, and one picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.beir import Dataset
from benchmarks.overhead import Plan, Run
from benchmarks.recall import Quality
from benchmarks.routes import BARE, DIRECT, ROUTES
from benchmarks.summary import SEARCHES, Aim, Row

COLOURS = ("#9aa5b1", "#52606d", "#7cc4a4", "#2f8f6b", "#14532d")


def print_run(console: Console, rows: list[Row], run: Run, found: list[Aim]) -> None:
    """One table a number of dimensions, then the aims."""
    for dims in sorted(run.recall):
        console.print(_table(dims, rows, run.recall[dims]))
    console.print("memory at the end, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in run.memory_mib.items()))
    console.print(aims_table(found))


def aims_table(found: list[Aim]) -> Table:
    """Each aim beside its figure."""
    table = Table(title="Aims")
    for heading in ("aim", "measured", "bound", "met"):
        table.add_column(heading)
    for aim in found:
        figure = f"{aim.measured:,.2f}" if abs(aim.measured) < 100 else f"{aim.measured:,.0f}"
        table.add_row(aim.what, figure, aim.bound, "[green]yes" if aim.met else "[red]no")
    return table


def quality_table(dataset: Dataset, qualities: list[Quality]) -> Table:
    """Search quality by variant."""
    title = f"{dataset.name}: {len(dataset.documents):,} documents, {len(dataset.questions):,} questions"
    table = Table(title=title)
    table.add_column("protection")
    headings = ("recall@10", "nDCG@10", "candidates", "engine calls", "certified", "worst score error", "p50 ms")
    for heading in headings:
        table.add_column(heading, justify="right")
    for q in qualities:
        shares = (f"{q.recall:.4f}", f"{q.ndcg:.3f}", f"{q.candidates:.0f}", f"{q.engine_calls:.2f}")
        table.add_row(q.title, *shares, f"{q.certified:.3f}", f"{q.score_error:.1e}", f"{q.p50_ms:.1f}")
    return table


def write_json(
    path: Path, machine: dict[str, str | int | float], plan: Plan, rows: list[Row], run: Run, found: list[Aim]
) -> None:
    """Everything but the single latencies: machine, plan, summary, aims, recall, memory, and each round's measures."""
    measures = [{key: v for key, v in asdict(m).items() if key != "latencies_ms"} for m in run.measures]
    document = {
        "machine": machine,
        "plan": asdict(plan),
        "routes": {route.key: route.title for route in ROUTES},
        "summary": [asdict(row) for row in rows],
        "aims": [asdict(aim) for aim in found],
        "recall_at_10": run.recall,
        "memory_mib": run.memory_mib,
        "measures": measures,
    }
    # NaN (no middle process to compare with) is not JSON.
    text = json.dumps(document, indent=1).replace(": NaN", ": null")
    path.write_text(text + "\n", encoding="utf-8")


def draw(path: Path, rows: list[Row]) -> None:
    """Grouped bars by dims: CPU per search of the middle and the engine, latency, and bulk upserts beside the bare
    pass-through's."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    dims = sorted({row.dims for row in rows})
    figure, panels = plt.subplots(1, 4, figsize=(19, 4.8))
    titles = (
        "CPU per search, µs (solid: middle process, pale: engine)",
        "the same, answers with payload",
        "p50 of one client at a time, ms",
        "bulk upsert, ratio to the bare pass-through",
    )
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xticks(range(len(dims)), [f"{d} dims" for d in dims])
        panel.spines[["top", "right"]].set_visible(False)
    taken = [(route, c) for route, c in zip(ROUTES, COLOURS, strict=True) if _of(rows, "upsert", route.key)]
    width = 0.8 / len(taken)
    for position, (route, colour) in enumerate(taken):
        at = [i + (position - (len(taken) - 1) / 2) * width for i in range(len(dims))]
        for panel, phase in zip(panels[:2], SEARCHES, strict=True):
            mine = _of(rows, phase, route.key)
            panel.bar(at, [r.middle_cpu_us for r in mine], width, color=colour, label=route.title)
            bottom = [r.middle_cpu_us for r in mine]
            panel.bar(at, [r.engine_cpu_us for r in mine], width, bottom=bottom, color=colour, alpha=0.3)
        panels[2].bar(at, [r.one_p50_ms for r in _of(rows, SEARCHES[1], route.key)], width, color=colour)
        panels[3].bar(at, [r.rate_ratio for r in _of(rows, "upsert", route.key)], width, color=colour)
    panels[3].axhline(0.8, color="#b91c1c", linewidth=1, linestyle="--")
    figure.legend(loc="lower center", ncols=len(taken), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _of(rows: list[Row], phase: str, route: str) -> list[Row]:
    return [row for row in rows if (row.phase, row.route) == (phase, route)]


def _table(dims: int, rows: list[Row], recall: dict[str, float]) -> Table:
    table = Table(title=f"{dims} dimensions (x: beside the bare pass-through, same round)")
    table.add_column("route")
    for heading in (
        "upsert\npoints/s",
        "search\nper s",
        "p50 / p99 ms\none stream",
        "CPU/search µs\nmiddle",
        "CPU/search µs\nengine",
        "with payload\nper s",
        "CPU/search µs\nmiddle",
        "recall@10",
    ):
        table.add_column(heading, justify="right")
    for route in (route for route in ROUTES if route.key in recall):
        upsert, search, loaded = (
            next(row for row in _of(rows, phase, route.key) if row.dims == dims) for phase in ("upsert", *SEARCHES)
        )
        table.add_row(
            route.title,
            f"{upsert.per_s:,.0f} (x{upsert.rate_ratio:.2f})",
            f"{search.per_s:,.0f} (x{search.rate_ratio:.2f})",
            f"{search.one_p50_ms:.2f} / {search.one_p99_ms:.2f}",
            _cpu(search),
            f"{search.engine_cpu_us:,.0f}",
            f"{loaded.per_s:,.0f} (x{loaded.rate_ratio:.2f})",
            _cpu(loaded),
            f"{recall[route.key]:.3f}",
        )
    return table


def _cpu(row: Row) -> str:
    if row.route == DIRECT.key:
        return "-"
    ratio = "" if row.route == BARE.key else f" (x{row.middle_cpu_ratio:.2f})"
    return f"{row.middle_cpu_us:,.0f}{ratio}"
