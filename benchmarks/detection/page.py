"""docs/detection-results.md from the JSON of a full run: no figure is copied by hand."""

from __future__ import annotations

from benchmarks.detection.measures import BUDGET
from benchmarks.detection.rows import BOUND, Document, Grid, grids, met, plain

_HEAD = """\
# Detection: results of the traffic lab

Made by `python -m benchmarks detection page` from the JSON of the last full run of

    python -m benchmarks detection calibrate --data DIR_A --sentences FILE
    python -m benchmarks detection --data DIR_B --sentences FILE

Attacks are recorded once each, undisturbed, with real embeddings (all-MiniLM-L6-v2) of real text; they read what the
API answers and go on from it. Then each is run against the real, enforcing proxy (`vecguard serve` over its embedded
engine, default policy) until it is refused.
Several accounts, honest calls to hide in, and slow paces are made by dealing the recorded calls to accounts and moving
them in time. That is exact where accounts pool what they know, since an answer does not depend on who asks; it is too
pessimistic from the rung `degrade` on, where a live attacker would be given less. Honest principal-days are made in
memory by exact search, with the product's own code for what detection sees; a test holds both against the proxy.
"""

_READING = """\
## How to read it

- *Calls to 5% / .9*: after how many calls an attack that nobody stops holds 5% of the records, or the vector to a
  cosine of 0.9. *In time* means that it was blocked before that: fewer than 5% of the records, and of the vectors, had
  left when `block` was reached; or when the attack was over, where its answers were *refused* for their size.
  Membership probes and known plaintext have no such bound: what they had is told.
- The accounts' table has, for each way of hiding, the calls of the attack until the last account was blocked (in
  brackets: never, of so many calls dealt: 400 unhidden, 120 at half, 60 at 90% honest calls) and the share of records
  that had left by then. `fast` is a call a second and account, `drip` one every five minutes.
- Alarms are principal-days on which a rung was reached. The bound is Clopper and Pearson's, one-sided, 95%: with no
  alarm in N days it is 3 / N, so that 3,000 days without one are needed to show 0.1%.
- Baselines see the same observations. Their thresholds come from the same calibration data and budget. A rate limit
  that spares batch evaluation and re-indexing is far above what any crawler needs.
"""

_LIMITS = """\
## What these figures do not show

- Attackers here phrase questions from names and terms of what they read, not with a language model. One that asks real
  questions of real users, in real users' order, is an honest user as far as any of this can tell.
- **Thresholds are calibrated on paragraphs of an encyclopaedia**, and `crawl` goes by cosines: it gets stricter, within
  bounds, where a collection's callers allow, and never milder. How near honest use of another text comes to it is for
  its operator to see. Observe before you enforce.
- Two collections, of 10,000 and some thousands of records, one embedder. Shares of a collection are easier to bound in
  larger ones: 5% of 10,000 records is some 55 answers of ten.
- One page is one call: what is in it is gone before anything beside the path has seen it. So a policy that enforces
  refuses an answer with the content of more than 3% of a collection (`largest_answer`), 250 records at least: of 5,000
  records that is 5%, of fewer it is more. A policy that observes refuses nothing.
- Analysis runs beside the calls. A client that sends without a pause gets some more answers before a block holds; the
  table of the enforcing proxy has how many.
- What was changed after other traffic on the dialogues had been seen (other honest principals and attacks, by the same
  generators): that a question weighs by what it brought, that phrasings in one call are one question, where `crawl` is
  neutral, what one's own questions make up for (`examples`), the slack of `chain`, `largest_answer`, and the level of
  callers looked at together. Thresholds are SQuAD's, or floors that attacks on it need. docs/detectors.md has such
  figures for text that was not looked at before.
- Where honest days with an alert are above the budget, it is because an operator is told from a risk of 0.8 on, below
  the 1.0 that the budget is for; callers are refused from 1.15 on.
- The run on this page was made beside other heavy work (see the load), so that its latencies are noise.
- Honest families are models of use, weighted as the table says, not recordings of anybody's users.
"""


def results_page(document: Document) -> str:
    """The page."""
    parts = [
        _HEAD,
        _made_on(document),
        _verdict(document),
        _READING,
        *(_grid(grid) for grid in grids(document)),
        _LIMITS,
    ]
    return "\n".join(parts)


def _made_on(document: Document) -> str:
    machine, plan, seconds = document["machine"], document["plan"], document["seconds"]
    sizes = plan["sizes"]
    took = ", ".join(f"{name} {value:,.0f} s" for name, value in seconds.items())
    ladder = ", ".join(f"{rung} {at:g}" for rung, at in document["ladder"].items())
    return (
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, load "
        f"{machine['load_before']} before the run; Python {machine['python']}, numpy {machine['numpy']}.\n"
        f"Reported on `{document['reported_on']}` ({sizes['documents']:,} documents, {sizes['questions']:,} questions);"
        f" thresholds calibrated on {document['calibrated_on']}.\n"
        f"Ladder (risk): {ladder}. `crawl` is stricter by {document['usual_strictness']:g}, as is usual for honest\n"
        f"callers that were there before, but where a table says otherwise. Took: {took}.\n"
        f"{_recorded(plan['in_memory'])}\n"
    )


def _recorded(in_memory: bool) -> str:
    if in_memory:
        return (
            "The undisturbed attacks of this run were recorded against exact search in memory (`--in-memory`), whose\n"
            "observations a test compares with the proxy's; without that option they are recorded on the proxy."
        )
    return "The undisturbed attacks of this run were recorded on the proxy, which observed."


def _verdict(document: Document) -> str:
    told = [(one["attack"], met(document, one)) for one in plain(document)]
    good = [name for name, found in told if found]
    bad = [name for name, found in told if found is False]
    alert, block = (document["alarms"][f"VecGuard: {rung}"][-1] for rung in ("alert", "block"))
    lines = [
        "## In short\n",
        f"- Blocked in time, one account: {len(good)} of {len(good) + len(bad)} ({', '.join(good) or 'none'}).",
        f"- **Not** blocked in time: {', '.join(bad) or 'none'}.",
        f"- Honest principal-days with an alert: {alert['rate']['alarms']} of {alert['days']:,} (at most "
        f"{alert['rate']['upper']:.2%} with 95% confidence; the budget is {BUDGET:.1%}); with a block: "
        f"{block['rate']['alarms']} (at most {block['rate']['upper']:.2%}).",
        *_hit(document),
        *_refused(document),
        *_sybils(document),
        *_linked(document),
        _costs(document["cost"]),
    ]
    return "\n".join(lines)


def _hit(document: Document) -> list[str]:
    """The honest families with alarms, which a rate over all of them would hide."""
    return [
        f"- **Honest use that is hit: {one['family']}**, {one['rate']['alarms']} of {one['days']} principal-days, "
        f"led by `{one['leader']}`."
        for one in document["alarms"]["VecGuard: alert"][:-1]
        if one["rate"]["alarms"]
    ]


def _refused(document: Document) -> list[str]:
    names = [one["family"] for one in document["latency"] if one["refused"]]
    if not names:
        return []
    return [f"- **Refused live, on the enforcing proxy, without a pause between calls: {', '.join(names)}.**"]


def _costs(cost: dict[str, float]) -> str:
    return (
        f"- 10,000 principals with full states take {cost['resident_mib']:.0f} MiB; the work on a call's path takes "
        f"{cost['hot_us']:.1f} µs, the detectors {cost['analysis_us']:.0f} µs beside it.\n"
    )


def _sybils(document: Document) -> list[str]:
    lines = []
    for count in sorted({one["variant"]["sybils"] for one in document["outcomes"]} - {1}):
        mine = [
            one
            for one in document["outcomes"]
            if one["variant"] == {"sybils": count, "mix": 0.0, "pace": "fast"} and met(document, one) is not None
        ]
        stopped = [one for one in mine if one["stopped"]]
        inside = [one for one in stopped if _kept(document, one)]
        lines.append(
            f"- {count} accounts: all of them blocked in {len(stopped)} of {len(mine)} attacks, "
            f"in {len(inside)} before 5% of the records, or a cosine of 0.9, were gone."
        )
    return lines


def _linked(document: Document) -> list[str]:
    """Several accounts looked at together, of attacks that take records."""
    lines = []
    goals = {found["attack"]: found["goal"] for found in document["attacked"]}
    for kind in dict.fromkeys((one["sybils"], one["honest"]) for one in document["dealt"]):
        mine = [
            one
            for one in document["dealt"]
            if (one["sybils"], one["honest"]) == kind and goals[one["attack"]] == "records"
        ]
        told = [one for one in mine if one["calls"] is not None]
        inside = [one for one in told if max(one["gone"].values()) < BOUND]
        beside = f"beside {kind[1]} honest callers" if kind[1] else "by themselves"
        lines.append(
            f"- {kind[0]} accounts looked at together, {beside}: operators told of {len(told)} of {len(mine)} attacks "
            f"that take records, of {len(inside)} before 5% were gone. Nobody is blocked for it."
        )
    alerts = [one for one in document["crowds"] if one["worst"] >= document["ladder"]["alert"]]
    lines.append(f"- Honest crowds with an alert: {len(alerts)} of {len(document['crowds'])} days of a collection.")
    return lines


def _kept(document: Document, one: dict[str, object]) -> bool:
    """Whether an attack of several accounts ended, all accounts blocked, in time."""
    found = next(found for found in document["attacked"] if found["attack"] == one["attack"])
    end, spent = one["end"], one["spent"]
    if found["goal"] == "records":
        return bool(max(end["records"], end["vectors"]) < 0.05)  # type: ignore[index]
    return found["to_recovered"] is None or bool(spent < found["to_recovered"])  # type: ignore[operator]


def _grid(grid: Grid) -> str:
    lines = [f"## {grid.title}\n", "| " + " | ".join(grid.heads) + " |"]
    lines.append("|" + "|".join(["---"] + ["---:"] * (len(grid.heads) - 1)) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in grid.rows]
    return "\n".join(lines) + "\n"
