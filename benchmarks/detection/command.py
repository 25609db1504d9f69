"""`python -m benchmarks detection`: the traffic lab's commands."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.processes import ONE_BLAS_THREAD, ROOT

if TYPE_CHECKING:
    from benchmarks.detection.texts import TextVectors
    from benchmarks.detection.world import Sizes, World

# Before numpy is imported: a thread a process, as in a worker of the product.
os.environ.update(ONE_BLAS_THREAD)

app = typer.Typer(add_completion=False, help=__doc__)
console = Console()

Data = Annotated[Path | None, typer.Option(help="A folder in the BEIR layout.")]
Sentences = Annotated[Path | None, typer.Option(help="Public text that attackers hold: JSON Lines with a `text` each.")]
Cache = Annotated[Path, typer.Option(help="Where embeddings are kept as .npy.")]
Out = Annotated[Path, typer.Option(help="Folder for JSON, pictures and the processes' logs.")]
Quick = Annotated[bool, typer.Option(help="Under three minutes: a small collection, few days, fewer variants.")]
FLOORS = ROOT / "benchmarks/detection/floors.json"
CACHE, OUT = Path("out/embeddings"), Path("out")


@app.callback(invoke_without_command=True)
def detection(
    context: typer.Context,
    data: Data = None,
    sentences: Sentences = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    quick: Quick = False,
    in_memory: Annotated[bool, typer.Option(help="Record attacks against exact search in memory: faster.")] = False,
) -> None:
    """Attacks and honest users on the real proxy, and what detection makes of them: JSON, tables, a picture."""
    if context.invoked_subcommand is not None:
        return
    from benchmarks.detection.plan import FULL, QUICK
    from benchmarks.detection.plots import draw
    from benchmarks.detection.run import Lab
    from benchmarks.detection.tables import print_results

    plan = replace(QUICK if quick else FULL, in_memory=in_memory)
    out.mkdir(parents=True, exist_ok=True)
    with _progress() as bar:
        task = bar.add_task("texts")

        def tell(what: str) -> None:
            bar.update(task, description=what)

        world, embed = _world(data, sentences, cache, plan.sizes)
        results = Lab(world, embed, plan, out, tell).run()
    written = out / ("detection_quick" if quick else "detection")
    results.write(written.with_suffix(".json"))
    document = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    print_results(console, document)
    draw(written.with_suffix(".png"), document)
    console.print(f"written: {written}.json, {written}.png")


@app.command()
def calibrate(
    data: Data = None,
    sentences: Sentences = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    floors: Annotated[Path, typer.Option(help="JSON: the least threshold of each detector.")] = FLOORS,
    share: Annotated[float, typer.Option(min=0.01, help="Of the full number of honest principal-days.")] = 1.0,
) -> None:
    """Write the detectors' thresholds, and the baselines', from honest traffic on one data set."""
    from benchmarks.detection.calibrate import calibrated, judges_thresholds, tail_table, write_thresholds
    from benchmarks.detection.judges import VecGuard
    from benchmarks.detection.plan import CALIBRATION_SEED, FULL
    from benchmarks.detection.run import BASELINE_FILE, BASELINES, honest_days
    from vecguard.detect import thresholds
    from vecguard.policy.detection import DetectionRule

    with _progress() as bar:
        bar.add_task("honest days")
        world, _ = _world(data, sentences, cache, FULL.sizes)
        days = honest_days(world, share, CALIBRATION_SEED, [VecGuard(DetectionRule()), *BASELINES])
    used = dict(thresholds.calibrated().detectors)
    least = json.loads(floors.read_text(encoding="utf-8"))
    found = calibrated(days, used, least)
    on = f"{world.name}, {len(days):,} honest principal-days, seed {CALIBRATION_SEED}"
    write_thresholds(thresholds.FILE, found, on)
    baselines = judges_thresholds(days, [judge.name for judge in BASELINES])
    BASELINE_FILE.write_text(json.dumps(baselines, indent=1) + "\n", encoding="utf-8")
    console.print(tail_table(days, used, found))
    out.mkdir(parents=True, exist_ok=True)
    console.print(f"written: {thresholds.FILE}, {BASELINE_FILE}")


@app.command()
def transcripts(
    pool: Annotated[Path, typer.Argument(help="JSON Lines of sentences with `text`, `source` and `doc`.")],
    folder: Annotated[Path, typer.Argument(help="Where the data set is written, in the BEIR layout.")],
    source: Annotated[str, typer.Option(help="Of the pool's texts, what `source` says.")] = "sgd-dialogue",
) -> None:
    """Make the data set of customers' dialogues, on which results are reported, or one of another source."""
    from benchmarks.detection.transcripts import write_transcripts

    console.print(f"written: {folder}, {write_transcripts(pool, folder, source):,} records")


@app.command()
def page(
    results: Annotated[Path, typer.Option(help="JSON of a full run.")] = OUT / "detection.json",
    written: Annotated[Path, typer.Option(help="The page to write.")] = ROOT / "docs/detection-results.md",
) -> None:
    """Write docs/detection-results.md from the JSON of the last full run."""
    from benchmarks.detection.page import results_page

    written.write_text(results_page(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")
    console.print(f"written: {written}")


def _world(data: Path | None, sentences: Path | None, cache: Path, sizes: Sizes) -> tuple[World, TextVectors]:
    from benchmarks.detection.texts import TextVectors
    from benchmarks.detection.world import load_world

    if data is None or sentences is None:
        raise typer.BadParameter("--data and --sentences are needed")
    embed = TextVectors(cache)
    world = load_world(data, sentences, embed, sizes)
    embed.save()
    return world, embed


def _progress() -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)
