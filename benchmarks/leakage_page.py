"""The sections of docs/results.md on what attackers recover, from the JSON of the audit lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

AUDIT = """\
## What attackers recover: {data}

`vecguard audit run`{data_option}, {counts}; embedder {embedder}, {dims} dimensions, seed {seed}. Every cell is the best
figure of an attack with its verdict (docs/audit.md says how to read them); the floor is what knowing nothing gives.
"""
DEFENCES = """\
## Defences beside each other: {data}

`python -m benchmarks defences`{data_option}, {counts}; embedder {embedder}, {dims} dimensions, seed {seed}. Read as the
section above; rows marked (peer) are other products, which have no re-ranking: their recall is that of the protected
order.
"""


def audit_section(name: str, audit: dict[str, Any]) -> str:
    """One section of the page. `name` is the file's, without its suffix."""
    opening = DEFENCES if name.startswith("defences_") else AUDIT
    counts = ", ".join(f"{count:,} {what}" for what, count in audit["counts"].items() if count)
    option = "" if audit["data"].startswith("synthetic") else " --data DIR"
    text = opening.format(
        **{key: audit[key] for key in ("data", "embedder", "dims", "seed")}, counts=counts, data_option=option
    )
    parts = [text, _machine(audit), _leakage(audit), _utility(audit), _pairs(audit), _breaks(audit)]
    return "\n".join(part for part in parts if part)


def _machine(audit: dict[str, Any]) -> str:
    machine = audit.get("machine")
    if not machine:
        return ""
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    versions = f"python {machine['python']}, numpy {machine['numpy']}"
    return f"Run on {place}; {versions}; load average before the run {machine['load_before']}.\n"


def _leakage(audit: dict[str, Any]) -> str:
    """Attacks in rows where there are few defences, defences in rows otherwise."""
    keys = list(dict.fromkeys((r["attack"], r["adversary"]) for r in audit["results"]))
    found = {(r["attack"], r["adversary"], r["defence"]): r for r in audit["results"]}
    names = [d["name"] for d in audit["defences"]]
    titles = {a["name"]: a["title"] for a in audit["attacks"]}
    heads = ["attack", "by", "figure", "floor", *names]
    rows = []
    for attack, adversary in keys:
        first = found[attack, adversary, names[0]]
        cells = [_cell(found.get((attack, adversary, name))) for name in names]
        rows.append((titles[attack], adversary, first["metric"], f"{first['floor']:.3f}", *cells))
    if len(names) > 4:
        heads, rows = _turned(heads, rows)
    return table(heads, rows)


def _turned(heads: list[str], rows: list[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    top = ["defence", *(f"{row[0]} ({row[1]}), {row[2]}, floor {row[3]}" for row in rows)]
    return top, [(heads[4 + i], *(row[4 + i] for row in rows)) for i in range(len(heads) - 4)]


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "-"
    figure = f"{result['value']:.3f}"
    if result["defence"] == "clear":
        return figure
    at = f" from {result['breaks_at']:,} pairs" if result["breaks_at"] and result["verdict"] == "broken" else ""
    return f"{figure} {result['verdict']}{at}"


def _utility(audit: dict[str, Any]) -> str:
    heads = ("defence", "recall@10", "without re-rank", "nDCG@10", "read", "records/s", "bytes", "bits at most")
    rows = []
    for defence in audit["defences"]:
        u = defence["utility"]
        ndcg = "-" if u["ndcg"] is None else f"{u['ndcg']['value']:.3f}"
        bits = "all" if u["bits"] is None else f"{u['bits']:,.0f}"
        speed = (f"{u['candidates']:,.0f}", f"{u['per_second']:,.0f}", f"{u['bytes']:,.0f}", bits)
        rows.append(
            (defence["name"], f"{u['recall']['value']:.4f}", f"{u['recall_unranked']['value']:.3f}", ndcg, *speed)
        )
    return table(heads, rows)


def _pairs(audit: dict[str, Any]) -> str:
    """Token F1 and R@1 by the number of leaked pairs."""
    parts = []
    for attack, title in (
        ("alignment", "Token F1 of text inverted after alignment"),
        ("linkage", "Re-identification, R@1"),
    ):
        results = [r for r in audit["results"] if r["attack"] == attack]
        pairs = sorted({reading["pairs"] for r in results for reading in r["readings"] if reading["pairs"]})
        rows = [(r["defence"], *(_best(r, count) for count in pairs)) for r in results]
        if rows:
            parts.append(f"{title}, by leaked pairs:\n\n" + table(("defence", *(f"{m:,}" for m in pairs)), rows))
    return "\n".join(parts)


def _best(result: dict[str, Any], pairs: int) -> str:
    values = [
        reading["interval"]["value"]
        for reading in result["readings"]
        if reading["metric"] == result["metric"] and reading["pairs"] == pairs
    ]
    return f"{max(values):.3f}" if values else "-"


def _breaks(audit: dict[str, Any]) -> str:
    found = [f for f in audit["findings"] if f["severity"] == "high" and f["defence"] != "access"]
    if not found or len(audit["defences"]) > 4:
        return ""
    lines = "\n".join(f"- {f['defence']}: {f['text']}" for f in found)
    return f"Where it breaks:\n\n{lines}\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
