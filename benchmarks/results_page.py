"""`docs/results.md`, made from the JSON of the last runs, so that no figure in it is copied by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.leakage_page import AUDIT, DEFENCES, audit_section
from benchmarks.routes import ROUTES
from benchmarks.summary import PHASES
from vecguard.errors import ConfigError

OPENING = """\
# Results

Made by `python -m benchmarks results` from the JSON of the runs named below; no figure is copied by hand.
"""

OVERHEAD = """\
## What protection costs

`python -m benchmarks overhead` sends one load over six routes, in interleaved rounds of one run:

- **direct**: straight to the database's own gRPC face ({engine});
- **bare**: through a pass-through of the same gRPC stack that forwards bytes and parses nothing, which is what any
  proxy costs here;
- **rotate**: VecGuard, rotation only;
- **+ noise**: rotation and noise of ratio 1, scores as they come from the engine: protection without re-ranking;
- **+ detection**: the same, watched for extraction (observing), which *rotate* and *+ noise* are not;
- **default**: the default policy whole: *+ detection*, and candidates opened and scored exactly (certainty 2).

Payload (a text of some 330 bytes, a word, a number) is sealed on all four VecGuard routes. Requests are serialised
beforehand, searches ask for ten nearest points, upserts carry 100 points and are acknowledged. Vectors are synthetic
but anisotropic and clustered, shaped after MiniLM's (benchmarks/vectors.py says how near they come).

How to read it: engine, middle process, load generator and whatever else the machine did shared {cores} cores, so calls
per second say little about the middle process; its **CPU per call** does, and the aims are stated in it. It is read
from the process' own clock and summed over {rounds} rounds. `x` is the ratio to the bare pass-through of the same
round. Latencies of searches are those of one client at a time.

This run: {points:,} points a collection, {index}, {streams} streams for searches and {upsert_streams} for upserts.
"""

MILVUS = """\
## What protection costs before Milvus

`python -m benchmarks overhead --backend milvus`: the same routes, rows and figures, with {engine} behind; rows are
written by Insert, {batch} a call, and searches ask with the weakest consistency, so that none waits for the server's
clock.

This run: {points:,} rows a collection, {index}, {streams} streams for searches and {upsert_streams} for inserts.
"""

RECALL = """\
## What search quality stays

`python -m benchmarks recall --data DIR`: real text, embedded with all-MiniLM-L6-v2 (384 dimensions), written and asked
with the ordinary `QdrantClient` through the proxy. Recall@10 is against exact search over the clear vectors, nDCG@10
against the data set's judgements. The points read for a question are counted by a pass-through before the engine;
*certified* is the share of questions that the certificate ended before the cap of 1,000 candidates.
"""

PROTECT = """\
## Protection alone

`python -m benchmarks protect`: the shield's own path without any network, CPU time of one core, default policy, cosine,
batches of 100.
"""

AT_REST = """\
## What sealing costs a record

`python -m benchmarks at_rest`: whole points of Qdrant's API, sealed and opened without any network, CPU time of one
core, batches of 100. A record has a cosine vector and a payload of six fields: a text of 800 characters, a title and a
number, sealed; source and author, searchable; a year, plain. *sealed* keeps the exact vector encrypted beside the
stored one (`recover: sealed`); *derived* is the default. Bytes are those of the messages that are sent to the database.
"""
AT_REST_HEADS: Final = (
    *("dims", "exact vector", "seal, µs", "open, µs", "bytes in clear", "bytes at rest", "growth"),
    *("of it: record entry", "payload", "payload in clear"),
)

ROTATION = """\
## What a rotation of a data key costs

`python -m benchmarks rotation`: the records of the section before, 2,000 in each collection, default policy, brought to
a new key by the job, with the embedded engine and without clients. CPU time is that of the job and of the engine for a
record, the pass that finds none left and the engine's own indexing meanwhile included; the rates are records a second
of one core that both share, and what the clock said on the machine with whatever else ran there.
"""
ROTATION_HEADS: Final = ("dims", "job, ms CPU", "engine, ms CPU", "records/s and core", "records/s by the clock")

_ORDER: Final = (OVERHEAD, MILVUS, PROTECT, AT_REST, ROTATION, RECALL, AUDIT, DEFENCES)


def results_page(folder: Path, earlier: str = "") -> str:
    """The page from `overhead*.json`, `protect.json`, `at_rest.json`, `rotation.json`, `recall_*.json`, `audit_*.json`
    and `defences_*.json` in `folder`, where there are.

    Sections of the `earlier` page that none of them is about stay as they were, since runs take hours and are seldom
    made together. Raises `ConfigError` when there is no such file.
    """
    made = sections_of("\n".join(_sections(folder)))
    if not made:
        raise ConfigError(
            f"{folder}: no JSON of overhead, protect, recall, audit or another run: run the benchmarks first"
        )
    kept = {heading: text for heading, text in sections_of(earlier).items() if heading not in made}
    together = sorted((kept | made).items(), key=lambda section: _rank(section[0]))
    return "\n".join([OPENING, *(text for _, text in together)])


def sections_of(page: str) -> dict[str, str]:
    """The sections of a page by their headings, which are its lines that begin with `## `; each ends in one newline."""
    found: dict[str, list[str]] = {}
    heading = None
    for line in page.splitlines():
        if line.startswith("## "):
            heading = line
        if heading is not None:
            found.setdefault(heading, []).append(line)
    return {heading: "\n".join(lines).strip() + "\n" for heading, lines in found.items()}


def _rank(heading: str) -> tuple[int, str]:
    """Sections stand in the order of `_ORDER`; those of one kind by their names."""
    openings = [text.partition("\n")[0].partition(": {")[0] for text in _ORDER]
    places = [
        place for place, opening in enumerate(openings) if heading == opening or heading.startswith(f"{opening}:")
    ]
    return (places[0] if places else len(openings)), heading


def _sections(folder: Path) -> Iterator[str]:
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    for name, opening in (("overhead", OVERHEAD), ("overhead_milvus", MILVUS)):
        if name in found:
            yield _overhead(opening, found[name])
    if "protect" in found:
        yield _protect(found["protect"])
    if "at_rest" in found:
        yield _at_rest(found["at_rest"])
    if "rotation" in found:
        yield rotation_section(found["rotation"])
    recalls = {name.removeprefix("recall_"): run for name, run in found.items() if name.startswith("recall_")}
    if recalls:
        yield _recall(recalls)
    for name, audit in found.items():
        if name.startswith(("audit_", "defences_")):
            yield audit_section(name, audit)


def _overhead(opening: str, run: dict[str, Any]) -> str:
    names = {route.key: route.name for route in ROUTES}
    parts = [_opening(opening, run), _machine(run["machine"])]
    for phase in PHASES:
        rate = "points/s" if phase == "upsert" else "per s"
        heads = ("dims", "route", rate, "x", "p50 ms", "p99 ms", "middle CPU µs", "x", "engine CPU µs")
        rows = [_measured(row, names) for row in run["summary"] if row["phase"] == phase]
        parts.append(f"### {phase.capitalize()}\n\n{_table(heads, rows)}")
    if run["aims"]:
        parts.append(f"### Aims\n\n{_table(('aim', 'measured', 'bound', 'met'), _aims(run['aims']))}")
    recall = [(dims, *(f"{found[key]:.3f}" for key in found)) for dims, found in run["recall_at_10"].items()]
    keys = next(iter(run["recall_at_10"].values()))
    parts.append(f"Recall@10 on these vectors:\n\n{_table(('dims', *(names[key] for key in keys)), recall)}")
    memory = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in run["memory_mib"].items())
    parts.append(f"Resident memory at the end: {memory}.\n")
    return "\n".join(parts)


def _opening(opening: str, run: dict[str, Any]) -> str:
    index = "HNSW index built" if run["plan"]["index"] else "no HNSW index (every search is a full scan)"
    return opening.format(**run["plan"] | {"index": index, "cores": run["machine"]["cores"], "engine": run["engine"]})


def _measured(row: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    timed = ("p50_ms", "p99_ms") if row["phase"] == "upsert" else ("one_p50_ms", "one_p99_ms")
    direct = row["route"] == "direct"
    return (
        str(row["dims"]),
        names[row["route"]],
        f"{row['per_s']:,.0f}",
        f"{row['rate_ratio']:.2f}",
        *(f"{row[key]:.2f}" for key in timed),
        "-" if direct else f"{row['middle_cpu_us']:,.0f}",
        "-" if direct else f"{row['middle_cpu_ratio']:.2f}",
        f"{row['engine_cpu_us']:,.0f}",
    )


def _aims(aims: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(a["what"], f"{a['measured']:,.2f}", a["bound"], "yes" if a["met"] else "**no**") for a in aims]


def _protect(run: dict[str, Any]) -> str:
    heads = ("dims", "protected/s", "opened/s", "one query, µs")
    rows = [
        (s["dims"], f"{s['protected_per_s']:,.0f}", f"{s['opened_per_s']:,.0f}", f"{s['query_us']:.0f}")
        for s in run["speeds"]
    ]
    return "\n".join([PROTECT, _machine(run["machine"]), _table(heads, rows)])


def at_rest_row(cost: dict[str, Any]) -> tuple[str, ...]:
    """The figures of one kind of record, under `AT_REST_HEADS`."""
    sizes = (cost[f"{what}_bytes"] for what in ("record", "payload", "clear_payload"))
    return (
        str(cost["dims"]),
        cost["recover"],
        f"{cost['seal_us']:.0f}",
        f"{cost['open_us']:.0f}",
        f"{cost['clear_bytes']:,.0f}",
        f"{cost['stored_bytes']:,.0f}",
        f"{cost['stored_bytes'] / cost['clear_bytes']:.2f}",
        *(f"{size:,.0f}" for size in sizes),
    )


def _at_rest(run: dict[str, Any]) -> str:
    return "\n".join([AT_REST, _machine(run["machine"]), _table(AT_REST_HEADS, map(at_rest_row, run["costs"]))])


def rotation_row(turned: dict[str, Any]) -> tuple[str, ...]:
    """The figures of one rotation, under `ROTATION_HEADS`."""
    records, job, engine = turned["records"], turned["job_cpu_s"], turned["engine_cpu_s"]
    times = (1000 * job / records, 1000 * engine / records)
    rates = (records / (job + engine), records / turned["seconds"])
    return str(turned["dims"]), *(f"{time:.2f}" for time in times), *(f"{rate:,.0f}" for rate in rates)


def rotation_section(run: dict[str, Any]) -> str:
    """The section on rotations of data keys."""
    rows = map(rotation_row, run["turned"])
    return "\n".join([ROTATION, _machine(run["machine"]), _table(ROTATION_HEADS, rows)])


def _recall(runs: dict[str, dict[str, Any]]) -> str:
    heads = ("data", "noise ratio", "recall@10", "nDCG@10", "points read", "calls", "certified", "largest score error")
    rows = [
        (
            f"{name}, {run['documents']:,} documents, {run['questions']} questions",
            q["title"],
            f"{q['recall']:.4f}",
            f"{q['ndcg']:.3f}",
            f"{q['candidates']:.0f}",
            f"{q['engine_calls']:.2f}",
            f"{q['certified']:.3f}",
            f"{q['score_error']:.1e}",
        )
        for name, run in runs.items()
        for q in run["variants"]
    ]
    return "\n".join([RECALL, _table(heads, rows)])


def _machine(machine: dict[str, Any]) -> str:
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    packages = ", ".join(f"{name} {machine[name]}" for name in ("python", "grpcio", "protobuf", "numpy"))
    return f"Run on {place}; {packages}; load average before the run {machine['load_before']}.\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"
