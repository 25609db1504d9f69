"""report.html: one file without any reference to the outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.defence import CLEAR
from vecguard.audit.findings import UNMEASURED, unmeasured
from vecguard.audit.outcome import Audit, Result, RiskPoint
from vecguard.audit.plots import bars_plot, pairs_plot
from vecguard.audit.report import by_attack, utility_rows, verdict_text
from vecguard.audit.tables import (
    ACCESS_HEADS,
    TEXT_HEADS,
    access_cells,
    floor_text,
    interval_text,
    personal_heads,
    personal_rows,
    text_rows,
)
from vecguard.audit.textual import TOKEN_F1

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.2rem; border-bottom: 1px solid #cbd2d9 }
table { border-collapse: collapse; margin: .6rem 0; font-size: 13px } td, th { padding: .25rem .6rem; text-align: left;
border-bottom: 1px solid #e4e7eb; vertical-align: top }
.broken { background: #fde8e8 } .weakened { background: #fef6d8 }
.floor { background: #e3f5ea } .unmeasured { color: #7b8794 } .small { color: #52606d; font-size: 13px }
svg { max-width: 100%; height: auto } details { margin: .3rem 0 }
"""
_CLASSES: Final = {
    "broken": "broken",
    "weakened": "weakened",
    "at the floor": "floor",
    "not measured": "unmeasured",
}
ADVERSARIES: Final = {
    "A": "thief of the database, without the key",
    "B": "thief who also knows some (text, stored vector) pairs",
    "C": "curious operator of the database",
    "D": "holder of a client's credential",
}
HOW_TO_READ: Final = """
Every attack runs against clear storage first. Its figure there is the yardstick: where it stays under what the attack
needs, nothing is said about any defence. The floor is what somebody reaches who knows nothing about the record.
A defence is <b>at the floor</b> where at most a tenth of the attack's gain over the floor is left, <b>broken</b> where
half of it or more is left, <b>weakened</b> in between. The mechanism is taken to be public; only the key is secret.
A figure holds for the attacks, texts and sizes named here: a stronger attacker may do better.
"""


def render(audit: Audit) -> str:
    """The page as HTML."""
    parts = [
        f"<h1>VecGuard audit: {escape(audit.data)}</h1>",
        f"<p class=small>{escape(_subtitle(audit))}</p><p>{HOW_TO_READ}</p>",
        "<h2>Where this breaks</h2>",
        _breaks(audit),
        "<h2>What attackers recover</h2>",
        _leakage(audit),
        *_plots(audit),
        *_gathered(audit),
        "<h2>What is left of search, and what it costs</h2>",
        _utility(audit),
        "<h2>Risk factors</h2>",
        *_risks(audit),
        "<h2>Findings by OWASP LLM08:2025 (Vector and Embedding Weaknesses)</h2>",
        _findings(audit),
        "<h2>Every figure</h2>",
        *_details(audit),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>VecGuard audit</title><style>{_STYLE}</style>"
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def _subtitle(audit: Audit) -> str:
    counts = ", ".join(f"{count:,} {what}" for what, count in audit.counts.items() if count)
    missing = ", ".join(f"{count:,}" for count in audit.pairs_missing)
    few = f" Not enough records for {missing} leaked pairs." if missing else ""
    return f"Embedder {audit.embedder}, {audit.dims} dimensions; seed {audit.seed}; {counts}.{few}"


def _breaks(audit: Audit) -> str:
    lines = []
    for outcome in audit.defences:
        if outcome.name == CLEAR:
            continue
        found = [f for f in audit.findings if f.defence == outcome.name and f.severity in ("high", "medium")]
        items = "".join(
            f"<li class={'broken' if f.severity == 'high' else 'weakened'}>{escape(f.text)}</li>" for f in found
        )
        body = f"<ul>{items}</ul>" if items else "<p>Not by any attack of this audit.</p>"
        lines.append(f"<h3>{escape(outcome.name)}</h3>{body}")
    return "".join(lines) or "<p>Only clear storage was looked at: it hides nothing.</p>"


def _leakage(audit: Audit) -> str:
    names = [outcome.name for outcome in audit.defences]
    rows = []
    for results in by_attack(audit):
        first = next(iter(results.values()))
        title = next(attack.title for attack in audit.attacks if attack.name == first.attack)
        cells = [_cell(results.get(name)) for name in names]
        lead = f"<td>{escape(title)}</td><td title='{ADVERSARIES[first.adversary]}'>{first.adversary}</td>"
        rows.append(f"<tr>{lead}<td>{first.metric}</td><td>{floor_text([*results.values()])}</td>{''.join(cells)}</tr>")
    heads = ["attack", "adversary", "figure", "floor", *names]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in unmeasured(audit))
    return _rows(heads, rows) + (f"<p>Not measured, and why:</p><ul class=small>{reasons}</ul>" if reasons else "")


def _cell(result: Result | None) -> str:
    if result is None:
        return "<td>-</td>"
    kind = "" if result.defence == CLEAR else f" class={_CLASSES[result.verdict]}"
    text = (
        f"{result.value:.3f} <span class=small>[{result.low:.3f}, {result.high:.3f}]<br>{verdict_text(result)}</span>"
    )
    return f"<td{kind}>{text}</td>"


def _plots(audit: Audit) -> Iterator[str]:
    yield f"<p>{bars_plot(audit)}</p>"
    titles = (("alignment", TOKEN_F1, "Text inverted after alignment"), ("linkage", R_AT_1, "Re-identification"))
    for attack, metric, title in titles:
        if (drawn := pairs_plot(audit, attack, metric, title)) is not None:
            yield f"<p>{drawn}</p>"


def _gathered(audit: Audit) -> Iterator[str]:
    """Text by every measure, and personal data by type."""
    if texts := list(text_rows(audit)):
        note = "<p class=small>Of the inverter that comes best by token F1. A cosine by itself says little.</p>"
        yield f"<h3>Inverted text by every measure</h3>{table(TEXT_HEADS, texts)}{note}"
    if personal := list(personal_rows(audit)):
        note = "<p class=small>By type: share of whole spans / of their tokens that stand in the inverted text.</p>"
        yield f"<h3>Personal data by type</h3>{table(personal_heads(audit), personal)}{note}"


def _utility(audit: Audit) -> str:
    heads = (
        *("defence", "recall@10", "without re-ranking", "nDCG@10", "candidates read", "records protected/s"),
        *("bytes a record", "bits a record tells at most"),
    )
    note = (
        "<p class=small>Recall is against exact search over clear vectors. The bound of bits is d/2 · log2(1 + 1/r²),"
        " the capacity of the Gaussian channel: no attack on one stored vector can pass it, whatever it knows.</p>"
    )
    return table(heads, utility_rows(audit)) + note


def _risks(audit: Audit) -> Iterator[str]:
    for factor in ("dimension", "embedder", "training data"):
        points = [point for point in audit.risks if point.factor == factor]
        if points:
            yield f"<h3>{factor.capitalize()}</h3>{_risk_table(points)}"
    if audit.access:
        yield "<h3>Access</h3>" + table(ACCESS_HEADS, access_cells(audit))


def _risk_table(points: Sequence[RiskPoint]) -> str:
    heads = list(dict.fromkeys(name for point in points for name in point.figures))
    rows = [
        (p.setting, *(interval_text(p.figures[name]) if name in p.figures else "-" for name in heads)) for p in points
    ]
    return table(("", *heads), rows)


def _findings(audit: Audit) -> str:
    rows = [(f.owasp, f.defence, f.severity, f.text) for f in sorted(audit.findings, key=lambda f: f.owasp)]
    rest = f"<p class=small>Not measured by any audit of this lab: {escape('; '.join(UNMEASURED))}.</p>"
    return table(("risk", "defence", "severity", "finding"), rows) + rest


def _details(audit: Audit) -> Iterator[str]:
    for attack in audit.attacks:
        rows = [
            (
                result.defence,
                result.adversary,
                f"{r.pairs:,}" if r.pairs else "-",
                r.variant,
                r.metric,
                interval_text(r.interval),
            )
            for result in audit.results
            if result.attack == attack.name
            for r in result.readings
        ]
        body = table(("defence", "adversary", "pairs", "how", "figure", "value [95 % interval]"), rows)
        knows = f"The attacker has: {escape(attack.knows)}. Needs {attack.metric} {attack.needed} undefended."
        lead = f"<summary>{escape(attack.title)}</summary><p class=small>{knows}</p>"
        yield f"<details>{lead}{body}</details>"


def table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of plain text."""
    return _rows(heads, (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows))


def _rows(heads: Iterable[str], rows: Iterable[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{''.join(rows)}</table>"
