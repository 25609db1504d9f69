"""What an audit leaves behind: report.json for machines, report.html for readers, and a table for the terminal."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from vecguard.audit.defence import CLEAR
from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import Audit, Result, Verdict

STYLES: Final[dict[Verdict, str]] = {
    "at the floor": "green",
    "weakened": "yellow",
    "broken": "bold red",
    "not measured": "dim",
}


def audit_document(audit: Audit) -> dict[str, Any]:
    """The whole audit as JSON's types, `format` first; docs/audit.md says what each field means."""
    everything = asdict(audit)
    document: dict[str, Any] = _finite({"format": everything.pop("format"), **everything})
    return document


def write_json(audit: Audit, path: Path) -> None:
    """`audit_document` as a file."""
    path.write_text(json.dumps(audit_document(audit), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def leakage_table(audit: Audit) -> Table:
    """One row an attack and adversary, one column a defence: the deciding figure and the verdict."""
    table = Table(title=f"{audit.data}: what attackers recover ({audit.embedder}, {audit.dims} dimensions)")
    table.add_column("attack")
    table.add_column("by")
    table.add_column("figure")
    table.add_column("floor", justify="right")
    names = [outcome.name for outcome in audit.defences]
    for name in names:
        table.add_column(name, justify="right")
    for rows in by_attack(audit):
        first = next(iter(rows.values()))
        title = next(attack.title for attack in audit.attacks if attack.name == first.attack)
        cells = [_cell(rows.get(name)) for name in names]
        table.add_row(title, first.adversary, first.metric, f"{first.floor:.3f}", *cells)
    return table


def utility_table(audit: Audit) -> Table:
    """Search quality and cost of each defence."""
    table = Table(title="What is left of search, and what it costs")
    table.add_column("defence")
    for heading in ("recall@10", "without re-rank", "nDCG@10", "read", "records/s", "bytes", "bits at most"):
        table.add_column(heading, justify="right")
    for row in utility_rows(audit):
        table.add_row(*row)
    return table


def utility_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Cells of the utility table: defence, recall, recall without re-ranking, nDCG, candidates, speed, size, bound."""
    rows: list[tuple[str, ...]] = []
    for outcome in audit.defences:
        u = outcome.utility
        bits = "all" if math.isinf(u.bits) else f"{u.bits:,.0f}"
        ndcg = "-" if u.ndcg is None else f"{u.ndcg.value:.3f}"
        figures = (f"{u.recall.value:.4f}", f"{u.recall_unranked.value:.3f}", ndcg, f"{u.candidates:,.0f}")
        rows.append((outcome.name, *figures, f"{u.per_second:,.0f}", f"{u.bytes:,.0f}", bits))
    return rows


def by_attack(audit: Audit) -> list[dict[str, Result]]:
    """The results of each attack and adversary, by defence; in the order in which they were run."""
    grouped: dict[tuple[str, str], dict[str, Result]] = {}
    for result in audit.results:
        grouped.setdefault((result.attack, result.adversary), {})[result.defence] = result
    return list(grouped.values())


def interval_text(interval: Interval) -> str:
    """`.123 [.100, .150]` with three decimals."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def verdict_text(result: Result) -> str:
    """The verdict, with the pairs from which the defence breaks."""
    if result.defence == CLEAR:
        return "undefended"
    pairs = "" if result.breaks_at is None else f" from {result.breaks_at:,} pairs"
    return result.verdict + (pairs if result.verdict == "broken" else "")


def _cell(result: Result | None) -> str:
    if result is None:
        return "-"
    figure = f"{result.value:.3f}"
    if result.defence == CLEAR:
        return figure
    style = STYLES[result.verdict]
    return f"[{style}]{figure}\n{verdict_text(result)}[/]"


def _finite(value: Any) -> Any:
    """Infinity and NaN are not JSON: null stands for them."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
