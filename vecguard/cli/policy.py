"""`vecguard policy`: check a policy file, explain it in plain words, print its JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vecguard.errors import ConfigError, VecGuardError
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.explain import Section, explain
from vecguard.policy.load import Checked, check, schema
from vecguard.policy.model import Policy
from vecguard.policy.source import Problem

if TYPE_CHECKING:
    from vecguard.transform.base import Floats

policy_app = typer.Typer(help="Check and explain policy files.", no_args_is_help=True)

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The policy file (YAML).")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="Policy file; without: the default.")
]


@policy_app.command("check")
def check_command(file: PolicyFile) -> None:
    """Report every error of a policy file with its line; exit status 1 when there is one."""
    checked = check(file)
    _print_problems(checked)
    if checked.policy is None:
        raise typer.Exit(1)
    count = len(checked.policy.collections)
    Console(soft_wrap=True).print(
        f"[green]ok[/]: {escape(str(file))}, {count} collection {'entry' if count == 1 else 'entries'}", highlight=False
    )


@policy_app.command("explain")
def explain_command(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of a collection.")],
    policy: PolicyOption = None,
) -> None:
    """Say in plain words what the policy does with a collection: protection, its limits, and what can be asked."""
    console = Console()
    for section in explain(_policy(policy), collection):
        _print_section(console, section)


@policy_app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of policy files."""
    typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@policy_app.command("fit-pca")
def fit_pca_command(
    sample: Annotated[Path, typer.Argument(metavar="SAMPLE", help="Embeddings, a (n, d) float .npy file.")],
    components: Annotated[int, typer.Option(min=1, help="Principal components to keep in the file.")] = 128,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The artefact to write.")] = Path("pca.vga"),
) -> None:
    """Fit principal components to a sample of embeddings; prints the policy's entry for them.

    Take a few thousand embeddings of texts like those to be stored. The file says how they spread, not what they are;
    whoever has it still lacks the key of the rotation after it.
    """
    from vecguard.transform import pca

    try:
        mean, axes = pca.fit(_sample(sample), components)
        digest = pca.save(out, mean, axes)
    except VecGuardError as fault:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error", "red"), f": {fault}"), highlight=False)
        raise typer.Exit(1) from None
    typer.echo(f"- {{kind: pca, dims: {components}, file: {out.name}, sha256: {digest}}}")


def _sample(file: Path) -> Floats:
    # Not before it is needed: commands that serve say first how many threads numpy may start.
    import numpy as np

    try:
        vectors = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{file}: is no .npy file that can be read: {fault}") from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ConfigError(f"{file}: holds no matrix of floats, one embedding a row")
    return np.asarray(vectors, np.float32)


def _policy(file: Path | None) -> Policy:
    if file is None:
        return DEFAULT_POLICY
    checked = check(file)
    if checked.policy is None:
        _print_problems(checked)
        raise typer.Exit(1)
    return checked.policy


def _print_problems(checked: Checked) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for problem in checked.errors:
        _print_problem(console, problem, "red")
    for problem in checked.warnings:
        _print_problem(console, problem, "yellow")


def _print_problem(console: Console, problem: Problem, colour: str) -> None:
    console.print(Text.assemble((problem.severity, colour), f": {problem}"), highlight=False)


def _print_section(console: Console, section: Section) -> None:
    console.print(Text(section.title, style="bold"))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2), expand=False)
    table.add_column(max_width=34, style="cyan")
    table.add_column(ratio=1)
    for subject, text in section.lines:
        table.add_row(Text(subject), Text(text))
    console.print(table)
    console.print()
