"""A run's tables in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.detection.rows import Document, grids


def print_results(console: Console, document: Document) -> None:
    """All tables of a run."""
    for grid in grids(document):
        table = Table(title=grid.title)
        for at, head in enumerate(grid.heads):
            table.add_column(head, justify="left" if at == 0 else "right")
        for row in grid.rows:
            table.add_row(*row)
        console.print(table)
