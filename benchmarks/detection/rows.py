"""The tables of a run, as headings and rows of text: for the terminal and for the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.measures import BUDGET, rate, roc, share_at

Document = dict[str, Any]
BOUND = 0.05
RECOVERED = 0.9


@dataclass(frozen=True)
class Grid:
    """A title, headings, and rows."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def grids(document: Document) -> list[Grid]:
    """All tables of a run."""
    return [
        single(document),
        first(document),
        campaigns(document),
        dealt(document),
        crowds(document),
        alarms(document),
        judges(document),
        guarded(document),
        latency(document),
        cost(document),
    ]


def plain(document: Document) -> list[dict[str, Any]]:
    """Outcomes of one account that hides in nothing and does not wait."""
    return [one for one in document["outcomes"] if one["variant"] == {"sybils": 1, "mix": 0.0, "pace": "fast"}]


def first(document: Document) -> Grid:
    """One account where nobody asked before, and where honest callers did: what had left at the block."""
    rows = []
    for one, known in zip(document["first"], plain(document), strict=True):
        goal = next(found["goal"] for found in document["attacked"] if found["attack"] == one["attack"])
        cells = [(_share(each, "block", goal), _number(each["calls"].get("block"))) for each in (one, known)]
        verdict = {True: "yes", False: "no", None: ""}[met(document, one)]
        rows.append((one["attack"], *cells[0], *cells[1], verdict))
    heads = ("attack", "gone, nobody before", "calls", "gone, others before", "calls", "in time, nobody before")
    return Grid("One account, unhidden, where nobody asked before, and where honest callers did", heads, rows)


def met(document: Document, one: dict[str, Any]) -> bool | None:
    """Whether an attack was blocked in time: before 5% of the records, or the vectors, left, or before a cosine of 0.9
    was reached; or whether its answers were refused, and less than that had left when it was over. None for attacks
    that are after something else."""
    if one["refused"] and not one["stopped"]:
        return bool(max(one["end"]["records"], one["end"]["vectors"]) < BOUND)
    goal = next(found["goal"] for found in document["attacked"] if found["attack"] == one["attack"])
    if goal == "records":
        gone = one["gone"].get("block", {"records": 1.0, "vectors": 1.0})
        return bool(max(gone["records"], gone["vectors"]) < BOUND)
    if goal == "vector":
        return bool(one["got"].get("block", 1.0) < RECOVERED)
    return None


def single(document: Document) -> Grid:
    """One account: where each rung was reached, and what had left by then."""
    rows = []
    for one in plain(document):
        found = next(found for found in document["attacked"] if found["attack"] == one["attack"])
        goal = found["goal"]
        need = found["to_five_percent"] if goal == "records" else found["to_recovered"]
        shares = [_share(one, rung, goal) for rung in document["ladder"]]
        verdict = {True: "yes", False: "no", None: ""}[met(document, one)]
        verdict += f", {one['refused']} refused" if one["refused"] else ""
        rows.append((one["attack"], _number(need), *shares, _number(one["calls"].get("block")), one["by"], verdict))
    heads = ("attack", "calls to 5% / .9", *document["ladder"], "calls to block", "by", "in time")
    return Grid("One account, unhidden, one call a second: what had left when each rung was reached", heads, rows)


def _share(one: dict[str, Any], rung: str, goal: str) -> str:
    if rung not in one["calls"]:
        return "-"
    if goal == "records":
        gone = one["gone"][rung]
        vectors = f" ({gone['vectors']:.1%} vectors)" if gone["vectors"] else ""
        return f"{gone['records']:.1%}{vectors}"
    got = one["got"][rung]
    return f"cos {got:.2f}" if goal == "vector" else f"{got:.0f} {goal}"


def campaigns(document: Document) -> Grid:
    """By attack and way of hiding: the share of records (or cosine, or number) that the attack had at its end."""
    variants = list({_name(one["variant"]): None for one in document["outcomes"]})
    rows = []
    for found in document["attacked"]:
        mine = {_name(o["variant"]): o for o in document["outcomes"] if o["attack"] == found["attack"]}
        rows.append((found["attack"], *(_end(mine[name]) if name in mine else "" for name in variants)))
    title = (
        "Accounts x share of honest calls x pace: calls of the attack until the last account was blocked, and records"
    )
    return Grid(title, ("attack", *variants), rows)


def dealt(document: Document) -> Grid:
    """Attacks by several accounts, their calls looked at together: when operators are told."""
    kinds = list(dict.fromkeys((one["sybils"], one["honest"]) for one in document["dealt"]))
    rows = []
    for found in document["attacked"]:
        mine = {(one["sybils"], one["honest"]): one for one in document["dealt"] if one["attack"] == found["attack"]}
        rows.append((found["attack"], *(_told(mine[kind]) for kind in kinds)))
    heads = ("attack", *(f"{sybils} accounts, {honest} honest callers" for sybils, honest in kinds))
    return Grid("Accounts looked at together: calls of the attack until operators were told, and records", heads, rows)


def _told(one: dict[str, Any]) -> str:
    mark = f"({one['of']})" if one["calls"] is None else f"{one['calls']}"
    return f"{mark} {max(one['gone'].values()):.1%}"


def crowds(document: Document) -> Grid:
    """Honest days of many callers, looked at together."""
    rows = []
    for family in dict.fromkeys(one["family"] for one in document["crowds"]):
        mine = [one for one in document["crowds"] if one["family"] == family]
        alert = sum(one["worst"] >= document["ladder"]["alert"] for one in mine)
        bound = rate(alert, len(mine))
        sizes = (max(one["callers"] for one in mine), sum(one["calls"] for one in mine))
        worst = max(one["worst"] for one in mine)
        cells = (f"{len(mine)}", f"{sizes[0]}", f"{sizes[1]:,}", f"{worst:.2f}", f"{alert}", f"< {bound.upper:.1%}")
        rows.append((family, *cells))
    heads = ("family", "days", "callers", "calls", "highest risk", "alert", "alert rate, 95%")
    return Grid("Honest callers of a collection looked at together, a day each", heads, rows)


def _name(variant: dict[str, Any]) -> str:
    return f"{variant['sybils']}, {variant['mix']:.0%}, {variant['pace']}"


def _end(one: dict[str, Any]) -> str:
    mark = f"{one['spent']}" if one["stopped"] else f"({one['spent']})"
    return f"{mark} {one['end']['records']:.1%}"


def alarms(document: Document) -> Grid:
    """Alarms per principal-day by honest family, at the rungs of the ladder that an operator or a caller notices."""
    shown = [name for name in document["alarms"] if name.split(": ")[-1] in ("alert", "block") or ":" not in name]
    families = [one["family"] for one in document["alarms"][shown[0]]]
    rows = []
    for at, family in enumerate(families):
        first = document["alarms"][shown[0]][at]
        cells = [document["alarms"][name][at] for name in shown]
        bound = f"< {first['rate']['upper']:.2%}"
        rows.append(
            (
                family,
                f"{first['days']:,}",
                f"{first['calls']:,}",
                *(str(c["rate"]["alarms"]) for c in cells),
                bound,
                first["leader"],
            )
        )
    heads = ("family", "principal-days", "calls", *shown, "alert rate, 95%", "led by")
    return Grid("Honest principal-days with an alarm", heads, rows)


def judges(document: Document) -> Grid:
    """Detection at the budget of false positives on this data set, and what had left by then, against baselines."""
    rows = []
    for name in document["honest_worst"]:
        honest = document["honest_worst"][name]
        outcomes = plain(document) if name == "VecGuard" else _fast(document["baselines"][name])
        told = share_at(honest, [one["worst"] for one in outcomes])
        rung = "alert" if name == "VecGuard" else "block"
        hit = [one for one in outcomes if rung in one["calls"]]
        inside = sum(_in_time(document, one, rung) for one in hit)
        alarms_ = next(a for a in document["alarms"][f"{name}: {rung}" if name == "VecGuard" else name][-1:])
        rows.append(
            (
                name,
                f"{told:.0%}",
                f"{len(hit)} of {len(outcomes)}",
                f"{inside} of {_with_goal(document)}",
                f"{alarms_['rate']['alarms']} of {alarms_['days']:,}",
                f"{_area(honest, outcomes):.3f}",
            )
        )
    heads = (
        "judge",
        f"attacks told at {BUDGET:.1%} here",
        "told at its calibrated threshold",
        "of these in time",
        "honest days above it",
        "area under ROC",
    )
    return Grid("Against baselines: one account, unhidden, one call a second", heads, rows)


def _fast(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in outcomes if one["variant"]["pace"] == "fast"]


def _in_time(document: Document, one: dict[str, Any], rung: str) -> bool:
    shifted = {**one, "gone": {"block": one["gone"][rung]}, "got": {"block": one["got"][rung]}}
    return bool(met(document, shifted))


def _with_goal(document: Document) -> int:
    return sum(found["goal"] in ("records", "vector") for found in document["attacked"])


def _area(honest: list[float], outcomes: list[dict[str, Any]]) -> float:
    false, true = roc(honest, [one["worst"] for one in outcomes])
    return float(np.trapezoid(true, false))


def guarded(document: Document) -> Grid:
    """The live, enforcing proxy beside the replay."""
    rows = [
        (
            one["attack"],
            str(one["served"]) if one["refused"] else f"{one['served']}, not refused",
            _number(one["replayed"]),
        )
        for one in document["guarded"]
    ]
    heads = ("attack", "calls answered, live", "calls to block, replayed")
    return Grid("The enforcing proxy (rungs slow and degrade off), attacked without a pause", heads, rows)


def latency(document: Document) -> Grid:
    """Latency of honest calls, unwatched and guarded."""
    rows = [
        (
            one["family"],
            str(one["calls"]),
            f"{one['unwatched_ms'][0]:.2f}",
            f"{one['guarded_ms'][0]:.2f}",
            f"{one['guarded_ms'][0] - one['unwatched_ms'][0]:+.2f}",
            f"{one['unwatched_ms'][1]:.1f}",
            f"{one['guarded_ms'][1]:.1f}",
            str(one["refused"]),
        )
        for one in document["latency"]
    ]
    heads = ("family", "calls", "p50 off", "p50 enforce", "added", "p95 off", "p95 enforce", "refused")
    return Grid("Latency of honest calls, ms: detection off, and enforcing", heads, rows)


def cost(document: Document) -> Grid:
    """Memory and time."""
    found = document["cost"]
    rows = [
        ("resident memory of 10,000 full profiles, MiB", f"{found['resident_mib']:.0f}"),
        ("the same as the store counts it, MiB", f"{found['counted_mib']:.0f}"),
        ("bound by the detectors' most_bytes, MiB", f"{found['bound_mib']:.0f}"),
        ("on the path: verdict and queue, µs a call", f"{found['hot_us']:.2f}"),
        ("beside: all detectors, µs CPU a call", f"{found['analysis_us']:.0f}"),
    ]
    return Grid("Cost", ("what", "measured"), rows)


def _number(value: int | None) -> str:
    return "never" if value is None else f"{value:,}"
