"""What a run says: tables for the terminal, JSON for machines, and one picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.overhead import Plan, Run
from benchmarks.recall import Quality
from benchmarks.routes import DIRECT, ROUTES
from benchmarks.summary import PHASES, SEARCHES, Aim, Row
from vecguard.audit.beir import Dataset

NAMES = {route.key: route.name for route in ROUTES}
COLOURS = ("#9aa5b1", "#52606d", "#a7dcc3", "#7cc4a4", "#2f8f6b", "#14532d")


def print_run(console: Console, rows: list[Row], run: Run, found: list[Aim]) -> None:
    """One table a phase, recall, memory, and the aims where there are any. Latencies of searches are one client's."""
    console.print(f"the database: {run.engine}")
    for phase in PHASES:
        console.print(_table(phase, rows))
    console.print(_recall_table(run.recall))
    console.print("memory at the end, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in run.memory_mib.items()))
    if found:
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
    """Search quality by variant: recall@10, nDCG@10, candidates read and calls to the engine a question, share of
    certified answers, largest error of a score, and the client's median time."""
    title = f"{dataset.name}: {len(dataset.documents):,} documents, {len(dataset.questions):,} questions"
    table = Table(title=title)
    table.add_column("noise ratio")
    headings = ("recall", "nDCG", "read", "calls", "certified", "error", "p50 ms")
    for heading in headings:
        table.add_column(heading, justify="right")
    for q in qualities:
        shares = (f"{q.recall:.4f}", f"{q.ndcg:.3f}", f"{q.candidates:.0f}", f"{q.engine_calls:.2f}")
        table.add_row(q.title, *shares, f"{q.certified:.3f}", f"{q.score_error:.1e}", f"{q.p50_ms:.1f}")
    return table


def write_json(
    path: Path, machine: dict[str, str | int | float], plan: Plan, rows: list[Row], run: Run, found: list[Aim]
) -> None:
    """Everything but the single latencies: machine, database, plan, summary, aims, recall, memory, rounds' measures."""
    measures = [{key: v for key, v in asdict(m).items() if key != "latencies_ms"} for m in run.measures]
    document = {
        "machine": machine,
        "engine": run.engine,
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
    figure, grid = plt.subplots(2, 2, figsize=(12, 8))
    panels = grid.ravel()
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
        for panel, phase, label in zip(panels[:2], SEARCHES, (route.title, None), strict=True):
            mine = _of(rows, phase, route.key)
            panel.bar(at, [r.middle_cpu_us for r in mine], width, color=colour, label=label)
            bottom = [r.middle_cpu_us for r in mine]
            panel.bar(at, [r.engine_cpu_us for r in mine], width, bottom=bottom, color=colour, alpha=0.3)
        panels[2].bar(at, [r.one_p50_ms for r in _of(rows, SEARCHES[1], route.key)], width, color=colour)
        panels[3].bar(at, [r.rate_ratio for r in _of(rows, "upsert", route.key)], width, color=colour)
    panels[3].axhline(0.8, color="#b91c1c", linewidth=1, linestyle="--")
    figure.legend(loc="lower center", ncols=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _of(rows: list[Row], phase: str, route: str) -> list[Row]:
    return [row for row in rows if (row.phase, row.route) == (phase, route)]


def _table(phase: str, rows: list[Row]) -> Table:
    """One phase: rates and CPU, each beside the bare pass-through's."""
    table = Table(title=f"{phase} (x: beside the bare pass-through; middle, engine: CPU in µs a call)")
    upsert = phase == "upsert"
    table.add_column("dims", justify="right")
    table.add_column("route")
    for heading in ("pts/s" if upsert else "per s", "x", "p50 ms", "p99 ms", "middle", "x", "engine"):
        table.add_column(heading, justify="right")
    last = 0
    for row in (row for row in rows if row.phase == phase):
        if last and row.dims != last:
            table.add_section()
        last = row.dims
        p50, p99 = (row.p50_ms, row.p99_ms) if upsert else (row.one_p50_ms, row.one_p99_ms)
        direct = row.route == DIRECT.key
        table.add_row(
            str(row.dims),
            NAMES[row.route],
            f"{row.per_s:,.0f}",
            f"{row.rate_ratio:.2f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            "-" if direct else f"{row.middle_cpu_us:,.0f}",
            "-" if direct else f"{row.middle_cpu_ratio:.2f}",
            f"{row.engine_cpu_us:,.0f}",
        )
    return table


def _recall_table(recall: dict[int, dict[str, float]]) -> Table:
    table = Table(title="recall@10 against exact search, to read the costs by")
    table.add_column("dims", justify="right")
    keys = list(next(iter(recall.values())))
    for key in keys:
        table.add_column(NAMES[key], justify="right")
    for dims, found in recall.items():
        table.add_row(str(dims), *(f"{found[key]:.3f}" for key in keys))
    return table
