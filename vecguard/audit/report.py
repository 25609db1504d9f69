"""What an audit leaves behind: report.json for machines, report.html for readers, and a table for the terminal."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from rich.table import Table

from vecguard.audit.defence import CLEAR
from vecguard.audit.outcome import FORMAT, Audit, Result, Verdict
from vecguard.audit.tables import floor_text
from vecguard.errors import ConfigError

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


def read_json(path: Path) -> Audit:
    """What `write_json` wrote.

    Raises:
        ConfigError: no such file, or no report of this format.
    """
    try:
        return audit_of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}") from None
    except ConfigError as fault:
        raise ConfigError(f"{path}: {fault}") from None
    except ValueError as fault:
        raise ConfigError(f"{path}: not a report of `vecguard audit run`") from fault


def audit_of(document: dict[str, Any]) -> Audit:
    """The audit that `audit_document` made the document of; what else stands in it is passed over.

    Raises:
        ConfigError: it is none of this format.
    """
    try:
        if document["format"] != FORMAT:
            raise ConfigError(f"format {document['format']}, this version reads {FORMAT}: run the audit again")
        defences = [
            {**outcome, "utility": {**outcome["utility"], "bits": _infinite(outcome["utility"]["bits"])}}
            for outcome in document["defences"]
        ]
        return TypeAdapter(Audit).validate_python({**document, "defences": defences})
    except (KeyError, TypeError, ValueError) as fault:  # pydantic's are ValueErrors
        raise ConfigError("not a report of `vecguard audit run`") from fault


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
        table.add_row(title, first.adversary, first.metric, floor_text([*rows.values()]), *cells)
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


def verdict_text(result: Result) -> str:
    """The verdict, with the pairs from which the defence breaks."""
    if result.defence == CLEAR:
        return "undefended"
    what = "queries" if result.adversary == "C" else "pairs"
    pairs = "" if result.breaks_at is None else f" from {result.breaks_at:,} {what}"
    return result.verdict + (pairs if result.verdict == "broken" else "")


def _cell(result: Result | None) -> str:
    if result is None:
        return "-"
    figure = f"{result.value:.3f}"
    if result.defence == CLEAR:
        return figure
    style = STYLES[result.verdict]
    return f"[{style}]{figure}\n{verdict_text(result)}[/]"


def _infinite(bits: float | None) -> float:
    return math.inf if bits is None else bits


def _finite(value: Any) -> Any:
    """Infinity and NaN are not JSON: null stands for them."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
