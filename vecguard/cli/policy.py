"""`vecguard policy`: check a policy file, explain it in plain words, print its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from vecguard.errors import ConfigError, VecGuardError
from vecguard.policy import claims
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
def check_command(
    file: PolicyFile,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file (YAML) of `vecguard serve`: has it checked that they go together."),
    ] = None,
) -> None:
    """Report every error of a policy file with its line; exit status 1 when there is one."""
    checked = check(file)
    _print_problems(checked)
    if checked.policy is None:
        raise typer.Exit(1)
    _check_memory(checked.policy, config)
    count = len(checked.policy.collections)
    Console(soft_wrap=True).print(
        f"[green]ok[/]: {escape(str(file))}, {count} collection {'entry' if count == 1 else 'entries'}", highlight=False
    )


def _check_memory(policy: Policy, config: Path | None) -> None:
    """Say what a policy needs of the settings, or refuse those that lack it."""
    if config is not None:
        # Not before it is needed: most policies go with all settings.
        from vecguard.config import load_settings
        from vecguard.remembering import require_memory

        with _failures():
            require_memory(load_settings(config, {}), policy)
    elif (asking := next((entry for entry in policy.collections if entry.detects_rollback), None)) is not None:
        text = f"{asking.name}.integrity has `rollback: detect`: the settings need `state` or `rollback_memory`"
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("note", "yellow"), f": {text} (--config checks)"))


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

    with _failures():
        mean, axes = pca.fit(_sample(sample), components)
        digest = pca.save(out, mean, axes)
    typer.echo(f"- {{kind: pca, dims: {components}, file: {out.name}, sha256: {digest}}}")


@policy_app.command("fit-learned")
def fit_learned_command(
    sample: Annotated[Path, typer.Argument(metavar="SAMPLE", help="Embeddings, a (n, d) float .npy file.")],
    dims: Annotated[int, typer.Option(min=1, help="Dimensions at rest.")] = 128,
    hidden: Annotated[int, typer.Option(min=0, help="Units of a hidden layer; 0: a linear projection.")] = 0,
    against: Annotated[float, typer.Option(min=0, help="Weight of the inverter that is trained against.")] = 0.1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 1_500,
    epsilon: Annotated[
        float | None, typer.Option(min=0.01, help="Train by DP-SGD with this ε for a vector of the sample.")
    ] = None,
    delta: Annotated[float, typer.Option(min=1e-12, max=0.1, help="δ of DP-SGD.")] = 1e-5,
    clip: Annotated[float, typer.Option(min=1e-6, help="Norm that gradients are clipped to by DP-SGD.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides the beginnings and the order of the sample.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The artefact to write.")] = Path("adapter.vga"),
) -> None:
    """Train a projection on a sample of embeddings; prints the policy's entry for it. Needs the extra `audit`.

    It is trained to keep rankings and to hinder an inverter that is trained against it. The network is no secret, and
    no protection by itself: put a rotation and noise after it, and measure by `vecguard audit run`.
    """
    with _failures():
        try:
            from vecguard.audit.training.adapter import AdapterPlan, DpPlan, train_adapter
        except ImportError as missing:
            raise ConfigError(f"{missing.name} is not installed: pip install 'vecguard[audit]'") from None
        from vecguard.transform import learned

        private = None if epsilon is None else DpPlan(epsilon, delta, clip)
        plan = AdapterPlan(
            dims, hidden, against, steps, seed=seed, private=private, **(_SMALL_GROUPS if private else {})
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("training", total=steps)
            trained = train_adapter(
                _sample(sample), plan, lambda step, ranking, inverting: bar.update(task, completed=step)
            )
        digest = learned.save(out, trained.layers, trained.privacy)
    typer.echo(f"- {{kind: learned, dims: {dims}, file: {out.name}, sha256: {digest}}}")
    if trained.privacy is not None:
        Console(stderr=True, soft_wrap=True).print(Text(claims.training_text(trained.privacy)), highlight=False)


# An example of DP-SGD is a group, and the more of them there are, the less noise each step needs.
_SMALL_GROUPS: Final = {"group": 8, "batch": 128}


@contextmanager
def _failures() -> Iterator[None]:
    """Say an expected failure in one line, and exit with status 1."""
    try:
        yield
    except VecGuardError as fault:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error", "red"), f": {fault}"), highlight=False)
        raise typer.Exit(1) from None


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
