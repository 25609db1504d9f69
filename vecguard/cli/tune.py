"""`vecguard tune`: the cheapest policy that leaks and loses no more than asked, found on the user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from vecguard.cli.audit import (
    CacheOption,
    DataOption,
    EmbedderOption,
    QuickOption,
    Request,
    SeedOption,
    UnitOption,
    WordsOption,
    errors,
)
from vecguard.cli.progress import long_run

NOT_MET = 2
"""Exit status where nothing that was tried meets the aim."""


def tune(
    data: DataOption = None,
    recall: Annotated[float, typer.Option(min=0, max=1, help="Least recall@10.")] = 0.99,
    max_f1: Annotated[float, typer.Option(min=0, max=1, help="Most token F1 that attacks may recover.")] = 0.15,
    pairs: Annotated[int, typer.Option(min=1, help="Leaked pairs that the attacker is taken to have.")] = 100,
    mechanism: Annotated[
        list[str] | None,
        typer.Option(
            help="Tried beside rotation and Gaussian noise, as in `audit run --defence`; more than once. "
            "[default: truncation to 128 dimensions and int8, with noise]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for policy.yaml, frontier.svg.")] = Path("vecguard-tune"),
    embedder: EmbedderOption = "minilm",
    cache: CacheOption = None,
    unit: UnitOption = "sentences",
    words: WordsOption = 48,
    quick: QuickOption = False,
    seed: SeedOption = 0,
) -> None:
    """Search mechanism, strength and over-fetch; write the policy and the frontier of leakage against recall and cost.

    Exit status 2 where nothing meets the aim: the frontier then says what can be had.
    """
    from vecguard.audit.data import QUICK, Sizes
    from vecguard.audit.tune import MECHANISMS, Aim, frontier, frontier_plot, rules_of
    from vecguard.audit.tune import tune as search

    console = Console()
    aim = Aim(recall, max_f1, pairs)
    with errors("tune"):
        request = Request(data, None, None, "", "", None, embedder, None, cache, unit, words)
        also = rules_of(mechanism or MECHANISMS)
        with long_run() as tell:
            (scene,) = request.scenes(QUICK if quick else Sizes(), seed, tell)
            found = search(scene, aim, tell, also)
    out.mkdir(parents=True, exist_ok=True)
    (out / "frontier.svg").write_text(frontier_plot(found, aim), encoding="utf-8")
    table = Table(title=f"Frontier; floor of unrelated text {found.floor:.3f}, clear storage {found.undefended:.3f}")
    table.add_column("rule", overflow="fold")  # its end is what tells rules apart
    for heading in (f"token F1, {pairs} pairs", "recall@10", "candidates read"):
        table.add_column(heading, justify="right")
    for one in frontier(found.tried):
        style = "green" if one == found.chosen else None
        table.add_row(one.name, f"{one.leaked:.3f}", f"{one.recall:.4f}", f"{one.candidates:,.0f}", style=style)
    console.print(table)
    if found.chosen is None:
        console.print(f"nothing that was tried keeps recall {recall:g} and leaks at most {max_f1:g}", style="red")
        raise typer.Exit(NOT_MET)
    policy = {
        "version": 1,
        "collections": [{"match": "*", "vectors": [found.chosen.rule.model_dump(mode="json")]}],
        "audit": {"max_token_f1": max_f1, "min_recall": recall, "max_pairs": pairs},
    }
    (out / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    console.print(f"chosen: {found.chosen.name}; written: {out}/policy.yaml, {out}/frontier.svg", highlight=False)
