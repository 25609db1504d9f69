"""The sections of docs/results.md on what attackers recover, from the JSON of the audit lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from vecguard.audit.attacks.alignment import DEAR_AT
from vecguard.audit.attacks.unsupervised import WORTH_TEXTS
from vecguard.audit.findings import unmeasured
from vecguard.audit.inverter.generative import GenerativeInverter
from vecguard.audit.report import audit_of
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

AUDIT = """\
## What attackers recover: {data}{length}

`vecguard audit run{data_option}`: {counts}; embedder {embedder}, {dims} dimensions, seed {seed}. Every cell is the best
figure of an attack with its 95 % interval and its verdict (docs/audit.md says how to read them); the floor is what
knowing nothing gives. *Not measured* stands where an attack stays under what it needs on clear storage: its rows prove
nothing.
"""
DEFENCES = """\
## Defences beside each other: {data}

`python -m benchmarks defences{data_option}`: {counts}; embedder {embedder}, {dims} dimensions, seed {seed}. Read as the
section above; rows marked (peer) are other products, which have no re-ranking: their recall is that of the protected
order. Stores and the attacker's own texts are smaller than an audit's, and attacks without pairs weaker for it.
{spared}
"""


SPARED = """\
Quick inverters (nearest own text, bag of words) read all records everywhere. The slow one, the packaged generative
inverter, reads the first {generated} records: with {dear} leaked pairs always; of vectors as they were stolen only
where no keyed rotation or projection hides the embedder's axes, since there its input would be a random direction;
after an alignment without pairs only where this re-identified at least {worth:.0%} of the records.\
"""
MOST_COLUMNS: Final = 4
LONGEST: Final = 48
"""Words of the longest sentences that are attacked where `--words` says nothing."""


def audit_section(name: str, audit: dict[str, Any]) -> str:
    """One section of the page. `name` is the file's, without its suffix."""
    opening = DEFENCES if name.startswith("defences_") else AUDIT
    counts = ", ".join(f"{count:,} {what}" for what, count in audit["counts"].items() if count)
    option = "" if audit["data"].startswith("synthetic") else " --data DIR"
    longest = audit["counts"].get("words in the longest of them", LONGEST)
    short = opening is AUDIT and option and longest < LONGEST
    option += f" --words {longest}" if short else ""
    option += " --quick" if audit.get("quick") else ""
    text = opening.format(
        **{key: audit[key] for key in ("data", "embedder", "dims", "seed")},
        counts=counts,
        data_option=option,
        spared=_spared(audit),
        length=f", sentences of at most {longest} words" if short else "",
    )
    parts = [text, _machine(audit), _leakage(audit), _utility(audit), _without_key(audit), _pairs(audit)]
    parts += [_texts(audit), _personal(audit), _risks(audit), _breaks(audit), _unmeasured(audit)]
    return "\n".join(part for part in parts if part)


def _machine(audit: dict[str, Any]) -> str:
    machine = audit.get("machine")
    if not machine:
        return ""
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    versions = f"python {machine['python']}, numpy {machine['numpy']}"
    load = f"; load average before the run {machine['load_before']}" if "load_before" in machine else ""
    return f"Run on {place}; {versions}{load}.{_took(audit)}\n"


def _took(audit: dict[str, Any]) -> str:
    took = audit.get("took")
    if not took:
        return ""
    left = f" Left out, as time was over: {', '.join(audit['left_out'])}." if audit.get("left_out") else ""
    return f" It took {took['clock'] / 60:.0f} minutes by the clock, with {took['cpu'] / 60:.0f} minutes of CPU.{left}"


def _spared(audit: dict[str, Any]) -> str:
    """What the slow inverters were not asked, with the number of records that they were."""
    read = [
        reading["interval"]["count"]
        for result in audit["results"]
        for reading in result["readings"]
        if reading["variant"] == GenerativeInverter.name
    ]
    if not read:
        return "The packaged generative inverter was not used."
    dear = " and ".join(f"{count:,}" for count in DEAR_AT if count <= audit["counts"]["other stored records"])
    return SPARED.format(generated=max(read), dear=dear, worth=WORTH_TEXTS)


def _leakage(audit: dict[str, Any]) -> str:
    """Attacks in rows where there are few defences, defences in rows otherwise."""
    keys = list(dict.fromkeys((r["attack"], r["adversary"]) for r in audit["results"]))
    found = {(r["attack"], r["adversary"], r["defence"]): r for r in audit["results"]}
    names, read = [d["name"] for d in audit["defences"]], audit_of(audit)
    titles = {a["name"]: a["title"] for a in audit["attacks"]}
    heads = ["attack", "by", "figure", "floor", *names]
    rows = []
    for attack, adversary in keys:
        first = found[attack, adversary, names[0]]
        cells = [_cell(found.get((attack, adversary, name))) for name in names]
        floor = floor_text([r for r in read.results if (r.attack, r.adversary) == (attack, adversary)])
        rows.append((titles[attack], adversary, first["metric"], floor, *cells))
    if len(names) > MOST_COLUMNS:
        heads, rows = _turned(heads, rows)
    return table(heads, rows)


def _turned(heads: list[str], rows: list[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    top = ["defence", *(f"{row[0]} ({row[1]}), {row[2]}, floor {row[3]}" for row in rows)]
    return top, [(heads[4 + i], *(row[4 + i] for row in rows)) for i in range(len(heads) - 4)]


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "-"
    figure = f"{result['value']:.3f} [{result['low']:.3f}, {result['high']:.3f}]"
    if result["defence"] == "clear":
        return figure
    what = "queries" if result["adversary"] == "C" else "pairs"
    at = f" from {result['breaks_at']:,} {what}" if result["breaks_at"] and result["verdict"] == "broken" else ""
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
        ("mixture", "Re-identification where cells are told apart first, R@1"),
    ):
        results = [r for r in audit["results"] if r["attack"] == attack]
        wanted = {reading["pairs"] for r in results for reading in r["readings"] if reading["pairs"]}
        pairs = sorted(wanted | set(audit["pairs"]))
        there = audit["counts"]["other stored records"]
        rows = [
            (r["defence"], *(_best(r, count) if count <= there else "not enough records" for count in pairs))
            for r in results
        ]
        if rows:
            parts.append(f"{title}, by leaked pairs:\n\n" + table(("defence", *(f"{m:,}" for m in pairs)), rows))
    return "\n".join(parts)


def _best(result: dict[str, Any], pairs: int, metric: str | None = None) -> str:
    values = [
        reading["interval"]["value"]
        for reading in result["readings"]
        if reading["metric"] == (metric or result["metric"]) and reading["pairs"] == pairs
    ]
    return f"{max(values):.3f}" if values else "-"


def _without_key(audit: dict[str, Any]) -> str:
    """Token F1 of an attacker without key and pairs, as vectors were stolen and after they were aligned."""
    found = {(r["attack"], r["defence"]): r for r in audit["results"] if r["attack"] in ("inversion", "unsupervised")}
    names = [d["name"] for d in audit["defences"] if ("unsupervised", d["name"]) in found]
    if not names or not all(("inversion", name) in found for name in names):
        return ""
    rows = [
        (name, *(_best(found[attack, name], 0, "token F1") for attack in ("inversion", "unsupervised")))
        for name in names
    ]
    heads = ("defence", "vectors as stolen", "after alignment without pairs")
    floor = f"Token F1 of inverted text without key and pairs; the floor is {audit['text_floor']:.3f}:"
    return f"{floor}\n\n{table(heads, rows)}"


def _texts(audit: dict[str, Any]) -> str:
    """Inverted text by every measure; too long a table where many defences stand beside each other."""
    rows = list(text_rows(audit_of(audit))) if len(audit["defences"]) <= MOST_COLUMNS else []
    title = "Inverted text by every measure, of the inverter that comes best by token F1"
    return f"{title}:\n\n" + table(TEXT_HEADS, rows) if rows else ""


def _personal(audit: dict[str, Any]) -> str:
    """Personal data by type."""
    found = audit_of(audit)
    rows = list(personal_rows(found))
    title = "Personal data in inverted texts, by type: share of whole spans / of their tokens"
    return f"{title}:\n\n" + table(personal_heads(found), rows) if rows else ""


def _risks(audit: dict[str, Any]) -> str:
    read = audit_of(audit)
    heads = list(dict.fromkeys(name for point in read.risks for name in point.figures))
    rows = [
        (p.factor, p.setting, *(interval_text(p.figures[name]) if name in p.figures else "-" for name in heads))
        for p in read.risks
    ]
    parts = []
    if rows:
        parts.append("Risk factors, with 95 % intervals:\n\n" + table(("factor", "setting", *heads), rows))
    if read.access:
        parts.append(
            "What the policy's roles can obtain through the API:\n\n" + table(ACCESS_HEADS, access_cells(read))
        )
    return "\n".join(parts)


def _breaks(audit: dict[str, Any]) -> str:
    found = [f for f in audit["findings"] if f["severity"] == "high" and f["defence"] != "access"]
    if not found or len(audit["defences"]) > MOST_COLUMNS:
        return ""
    lines = "\n".join(f"- {f['defence']}: {f['text']}" for f in found)
    return f"Where it breaks:\n\n{lines}\n"


def _unmeasured(audit: dict[str, Any]) -> str:
    lines = "\n".join(f"- {reason}" for reason in unmeasured(audit_of(audit)))
    return f"Not measured, and why:\n\n{lines}\n" if lines else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
