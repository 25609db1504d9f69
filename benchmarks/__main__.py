"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.backend import Backend, QdrantBackend
from benchmarks.detection.command import app as detection_app
from benchmarks.embeddings import Embedded, cached
from benchmarks.machine import describe_machine
from benchmarks.overhead import FULL, QUICK, Plan, bench, measure_overhead
from benchmarks.processes import ONE_BLAS_THREAD, ROOT
from benchmarks.recall import measure_quality, servers
from benchmarks.report import aims_table, draw, print_run, quality_table, write_json
from benchmarks.results_page import AT_REST_HEADS, ROTATION_HEADS, at_rest_row, results_page, rotation_row
from benchmarks.routes import BARE, ROUTES
from benchmarks.soak import memory_table
from benchmarks.soak import soak as run_soak
from benchmarks.summary import aims, protection_aim, summarise
from benchmarks.vectors import Sample, synthetic
from vecguard.audit.beir import Dataset, read_dataset

DOCUMENTS, QUESTIONS = 5_000, 500
OUT = Path("out")
CACHE = OUT / "embeddings"


class BackendName(StrEnum):
    """The databases that `overhead` knows."""

    qdrant = "qdrant"
    milvus = "milvus"


app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
app.add_typer(detection_app, name="detection")
console = Console()

Data = Annotated[Path, typer.Option(help="A folder in the BEIR layout: corpus.jsonl[.zst], queries, qrels.tsv.")]
Cache = Annotated[Path, typer.Option(help="Where embeddings are kept as .npy.")]
Documents = Annotated[int, typer.Option(help="Documents to take.")]
Out = Annotated[Path, typer.Option(help="Folder for JSON, pictures and the processes' logs.")]
Questions = Annotated[int, typer.Option(help="Questions to ask.")]


@app.command()
def embed(data: Data, cache: Cache = CACHE, documents: Documents = DOCUMENTS, questions: Questions = QUESTIONS) -> None:
    """Embed a sample of a data set with MiniLM and keep it, as `recall` does by itself."""
    embedded = load_embedded(read_dataset(data, documents, questions), cache)
    console.print(f"{embedded.documents.shape} documents, {embedded.questions.shape} questions in {cache}")


def load_embedded(dataset: Dataset, cache: Path) -> Embedded:
    """The data set's embeddings by MiniLM, from the cache where they are there; a bar shows the wait."""
    from vecguard.demo.embedder import MODEL_SHA256, MiniLM

    columns = (TextColumn("embedding {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(dataset.name, total=len(dataset.documents) + len(dataset.questions))
        return cached(dataset, cache, MiniLM, MODEL_SHA256, lambda count: bar.advance(task, count))


@app.command()
def overhead(
    out: Out = OUT,
    quick: Annotated[bool, typer.Option(help="Under three minutes: fewer points and rounds, no index.")] = False,
    routes: Annotated[str, typer.Option(help="Routes to take, of " + ", ".join(r.key for r in ROUTES) + ".")] = "",
    data: Annotated[Path | None, typer.Option(help="Real documents (BEIR layout), at MiniLM's 384 dims only.")] = None,
    cache: Cache = CACHE,
    backend: Annotated[BackendName, typer.Option(help="The database behind.")] = BackendName.qdrant,
) -> None:
    """Cost of protection: direct, bare pass-through and VecGuard's stages, in interleaved rounds of one run.

    Milvus is the real server where the PyPI package `milvus` is installed, Milvus Lite otherwise.
    """
    machine = describe_machine()
    plan = _plan(QUICK if quick else FULL, routes, data is not None)
    out.mkdir(parents=True, exist_ok=True)
    sample = _real_sample(data, cache, plan) if data else _synthetic_sample(plan)
    with (
        tempfile.TemporaryDirectory() as folder,
        bench(Path(folder), out, plan.routes, _backend(backend)) as processes,
        console.status("starting", refresh_per_second=1) as status,
    ):
        run = measure_overhead(processes, plan, sample, status.update)
    rows = summarise(run.measures, plan.batch)
    # The aims were set for Qdrant.
    found = aims(rows) if backend is BackendName.qdrant else []
    print_run(console, rows, run, found)
    written = out / ("overhead" if backend is BackendName.qdrant else f"overhead_{backend.value}")
    write_json(written.with_suffix(".json"), machine, plan, rows, run, found)
    draw(written.with_suffix(".png"), rows)
    console.print(f"written: {written}.json, {written}.png")


@app.command()
def protect(out: Out = OUT) -> None:
    """Vectors protected per second on one core, without any network."""
    environment = {**os.environ, **ONE_BLAS_THREAD}
    line = [sys.executable, "-m", "benchmarks.protect"]
    speeds = json.loads(subprocess.run(line, check=True, capture_output=True, env=environment, cwd=ROOT).stdout)
    table = Table(title="One core, default policy (rotation, noise 1.0, entry), cosine, batches of 100")
    for heading in ("dims", "protected/s", "opened/s", "query, µs"):
        table.add_column(heading, justify="right")
    for speed in speeds:
        figures = (f"{speed['protected_per_s']:,.0f}", f"{speed['opened_per_s']:,.0f}", f"{speed['query_us']:.0f}")
        table.add_row(str(speed["dims"]), *figures)
    console.print(table)
    reached = next(speed["protected_per_s"] for speed in speeds if speed["dims"] == 768)
    console.print(aims_table([protection_aim(reached)]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "protect.json").write_text(json.dumps({"machine": describe_machine(), "speeds": speeds}, indent=1) + "\n")


@app.command("rotation")
def rotation(records: Annotated[int, typer.Option(help="In each collection.")] = 2_000, out: Out = OUT) -> None:
    """How many records a second a rotation of a data key brings over, with the embedded engine."""
    table = Table(title=f"{records} records of at_rest: the job and the engine alone")
    for heading in ROTATION_HEADS:
        table.add_column(heading, justify="right")
    line = [sys.executable, "-m", "benchmarks.rotation", str(records)]
    environment, machine = {**os.environ, **ONE_BLAS_THREAD}, describe_machine()
    turned = json.loads(subprocess.run(line, check=True, capture_output=True, env=environment, cwd=ROOT).stdout)
    for one in turned:
        table.add_row(*rotation_row(one))
    console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    (out / "rotation.json").write_text(json.dumps({"machine": machine, "turned": turned}, indent=1) + "\n")


@app.command()
def inversion(
    data: Annotated[Path, typer.Option(help="JSON Lines with a `text` each.")],
    texts: Annotated[int, typer.Option(help="Texts to invert, after those that the weights were chosen with.")] = 1_000,
    beams: Annotated[int, typer.Option(min=1, help="Of the beam search.")] = 48,
    edits: Annotated[int, typer.Option(min=0, help="Rounds of edits.")] = 5,
    out: Out = OUT,
) -> None:
    """What the packaged text inverter recovers of clear MiniLM embeddings, stage by stage."""
    from benchmarks.inversion import measure_inversion, sample_texts
    from vecguard.audit.inverter.generative import Search

    columns = (TextColumn("inverting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    chosen = sample_texts(data, texts)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("inverting", total=len(chosen))
        stages = measure_inversion(chosen, Search(beams=beams, edits=edits), lambda count: bar.advance(task, count))
    table = Table(title=f"{len(chosen):,} clear embeddings")
    for heading in ("stage", "token F1", "BLEU-4", "ROUGE-L", "exact", "cosine"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in stages:
        figures = (stage.token_f1, stage.bleu, stage.rouge_l, stage.exact, stage.cosine)
        table.add_row(stage.name, *(f"{figure:.3f}" for figure in figures))
    console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    found = {"machine": describe_machine(), "texts": len(chosen), "stages": [asdict(stage) for stage in stages]}
    (out / "inversion.json").write_text(json.dumps(found, indent=1) + "\n")


@app.command("at_rest")
def at_rest(out: Out = OUT) -> None:
    """What sealing costs a record of Qdrant's API, in time and bytes, without any network."""
    environment = {**os.environ, **ONE_BLAS_THREAD}
    line = [sys.executable, "-m", "benchmarks.at_rest"]
    costs = json.loads(subprocess.run(line, check=True, capture_output=True, env=environment, cwd=ROOT).stdout)
    table = Table(title="One core, one record: rotation, noise 1.0, payload of six fields, batches of 100")
    for heading in AT_REST_HEADS:
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(*at_rest_row(cost))
    console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    (out / "at_rest.json").write_text(json.dumps({"machine": describe_machine(), "costs": costs}, indent=1) + "\n")


@app.command()
def recall(
    data: Data, cache: Cache = CACHE, out: Out = OUT, documents: Documents = DOCUMENTS, questions: Questions = QUESTIONS
) -> None:
    """Recall@10 against exact search, candidates and certified rate through the real proxy, on real text."""
    embedded = load_embedded(read_dataset(data, documents, questions), cache)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        servers(Path(folder), out) as running,
        console.status("starting", refresh_per_second=1) as status,
    ):
        qualities = measure_quality(running, embedded, status.update)
    console.print(quality_table(embedded.dataset, qualities))
    written = out / f"recall_{embedded.dataset.name}.json"
    document = {"machine": describe_machine(), "documents": documents, "questions": questions}
    written.write_text(json.dumps({**document, "variants": [asdict(q) for q in qualities]}, indent=1) + "\n")
    console.print(f"written: {written}")


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 30.0,
    out: Out = OUT,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
) -> None:
    """Steady load for a long time; exit status 1 where a call failed, or a process's own memory went on growing."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder, Progress(console=console) as bar:
        task = bar.add_task("soak", total=1.0)
        seen = run_soak(
            minutes * 60, Path(folder), workers=workers, progress=lambda done: bar.update(task, completed=done)
        )
    document = {"machine": describe_machine(), "workers": workers, **seen.document()}
    (out / "soak.json").write_text(json.dumps(document, indent=1) + "\n")
    console.print(f"{sum(seen.calls.values())} calls in {seen.seconds:.0f} s, failures {dict(seen.failures)}")
    console.print(memory_table(seen))
    if seen.failures or seen.leaks:
        raise typer.Exit(1)


@app.command()
def defences(
    data: Annotated[Path | None, typer.Option(help="BEIR layout; without: the demo's synthetic notes.")] = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    quick: Annotated[bool, typer.Option(help="Under three minutes: small samples, less of each.")] = False,
    seed: Annotated[int, typer.Option(help="Decides samples and keys.")] = 0,
    minutes: Annotated[
        float, typer.Option(min=1, help="No defence is begun after these; what is left out is named.")
    ] = 60,
) -> None:
    """All defences, and other products where installed, on the same vectors: leakage, search quality, cost."""
    from benchmarks.defences import compare
    from benchmarks.peers import missing_peers
    from vecguard.audit.page import render
    from vecguard.audit.report import audit_document, leakage_table, utility_table
    from vecguard.cli.progress import long_run

    machine = describe_machine()
    with long_run() as tell:
        audit = compare(data, cache, quick, seed, minutes, tell)
    console.print(leakage_table(audit))
    console.print(utility_table(audit))
    if audit.left_out:
        console.print(f"left out, since the time was over: {', '.join(audit.left_out)}")
    for name in missing_peers():
        console.print(f"{name}: not compared, since it is not installed (extra `peers`)")
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"defences_{audit.data}"
    document = {"machine": machine, "quick": quick, **audit_document(audit)}
    written.with_suffix(".json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written.with_suffix(".html").write_text(render(audit), encoding="utf-8")
    console.print(f"written: {written}.json, {written}.html")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="What `vecguard audit run --out` wrote, on this machine.")],
    out: Out = OUT,
) -> None:
    """Put a report of `vecguard audit run` beside the other runs, for `results`."""
    from vecguard.audit.report import audit_document, read_json

    audit = read_json(folder / "report.json")
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"audit_{audit.data}.json"
    machine = {what: value for what, value in describe_machine().items() if what != "load_before"}  # that is over
    document = {"machine": machine, **audit_document(audit)}
    written.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"written: {written}")


@app.command()
def results(
    out: Out = OUT, page: Annotated[Path, typer.Option(help="The page to write.")] = ROOT / "docs/results.md"
) -> None:
    """Write docs/results.md from the JSON of the last runs; sections of runs that have none here stay as they are."""
    earlier = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(results_page(out, earlier), encoding="utf-8")
    console.print(f"written: {page}")


def _backend(name: BackendName) -> Backend:
    if name is BackendName.qdrant:
        return QdrantBackend()
    from benchmarks.milvus_backend import MilvusBackend  # needs pymilvus

    return MilvusBackend()


def _plan(plan: Plan, routes: str, real: bool) -> Plan:
    """The plan with the routes asked for; the bare pass-through is always among them, since all is told beside it."""
    keys = {*routes.split(","), BARE.key} if routes else {route.key for route in ROUTES}
    if unknown := keys - {route.key for route in ROUTES}:
        raise typer.BadParameter(f"unknown routes: {', '.join(sorted(unknown))}")
    chosen = tuple(route for route in ROUTES if route.key in keys)
    return replace(plan, routes=chosen, dims=(384,) if real else plan.dims)


def _synthetic_sample(plan: Plan) -> Callable[[int], Sample]:
    return lambda dims: synthetic(plan.points, plan.queries, dims, plan.seed)


def _real_sample(data: Path, cache: Path, plan: Plan) -> Callable[[int], Sample]:
    # The same sample as `recall` takes by default, so that both share its cached embeddings.
    embedded = load_embedded(read_dataset(data, DOCUMENTS, QUESTIONS), cache)
    return lambda dims: Sample(embedded.documents[: plan.points], embedded.questions[: plan.queries])


if __name__ == "__main__":
    app()
