"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.beir import Dataset, read_dataset
from benchmarks.embeddings import Embedded, cached

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
app.callback()(lambda: None)
console = Console()

Data = Annotated[Path, typer.Option(help="A folder in the BEIR layout: corpus.jsonl[.zst], queries, qrels.tsv.")]
Cache = Annotated[Path, typer.Option(help="Where embeddings are kept as .npy.")]
Documents = Annotated[int, typer.Option(help="Documents to take.")]
Questions = Annotated[int, typer.Option(help="Questions to ask.")]


@app.command()
def embed(data: Data, cache: Cache, documents: Documents = 5_000, questions: Questions = 500) -> None:
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


if __name__ == "__main__":
    app()
