"""`vecguard audit`: attack what a policy would store, and stop a pipeline where it leaks more than it may.

The lab is imported when a command runs: no other command pays for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from vecguard.cli.audit_train import train_command
from vecguard.cli.progress import ProgressOption, line, long_run
from vecguard.errors import ConfigError, VecGuardError
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.load import load
from vecguard.policy.model import Policy

if TYPE_CHECKING:
    from vecguard.audit.data import Sizes, Unit
    from vecguard.audit.defence import Defence
    from vecguard.audit.outcome import Audit
    from vecguard.audit.scene import Scene, Tell

audit_app = typer.Typer(help="Attack what a policy stores; measure what search keeps.", no_args_is_help=True)
audit_app.command("train")(train_command)

PASSED_OVER = 2
"""Exit status of `gate` when a threshold is passed."""

PolicyOption = Annotated[Path | None, typer.Option("--policy", help="Policy file. [default: the built-in policy]")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Collection whose entry of the policy is meant.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder in the BEIR layout. [default: the demo's synthetic notes]")
]
PiiOption = Annotated[Path | None, typer.Option("--pii", help="Texts with personal spans (JSON Lines or its folder).")]
EmbedderOption = Annotated[str, typer.Option("--embedder", help="minilm or wordllama.")]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Folder that keeps embeddings between runs.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Small samples: minutes instead of an hour.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides samples and keys.")]
AttacksOption = Annotated[str, typer.Option("--attacks", help="Comma-separated; all without.")]
UnitOption = Annotated[str, typer.Option("--unit", help="What is stored of documents: sentences or documents.")]
WordsOption = Annotated[
    int,
    typer.Option("--words", min=4, max=48, help="Longest sentences that are attacked: inverters read short ones best."),
]
LiveOption = Annotated[
    str | None, typer.Option("--live", help="HOST:PORT of a running proxy (Qdrant gRPC): sample --collection there.")
]


@audit_app.command("run")
def run_command(
    policy: PolicyOption = None,
    defence: Annotated[
        list[str] | None,
        typer.Option(help="Instead of a policy: clear, or rotation+gaussian:ratio=1 and the like; more than once."),
    ] = None,
    collection: CollectionOption = "example",
    data: DataOption = None,
    pii: PiiOption = None,
    live: LiveOption = None,
    text_field: Annotated[str, typer.Option(help="With --live: payload field that holds the text.")] = "text",
    api_key: Annotated[
        str | None, typer.Option(envvar="VECGUARD_API_KEY", help="With --live: the client's key.")
    ] = None,
    embedder: EmbedderOption = "minilm",
    compare: Annotated[str | None, typer.Option(help="Another embedder, for that risk factor.")] = None,
    cache: CacheOption = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")] = Path("vecguard-audit"),
    attacks: AttacksOption = "",
    unit: UnitOption = "sentences",
    words: WordsOption = 48,
    quick: QuickOption = False,
    seed: SeedOption = 0,
    shown: ProgressOption = "bar",
) -> None:
    """Run the attacks against a policy's protection, or a list of defences, and write the report."""
    console = Console()
    with errors("audit run"):
        rules = load(policy) if policy else DEFAULT_POLICY
        defences = _defences(rules, collection, defence or [])
        with _lines() if shown == "json" else long_run() as tell:
            request = Request(data, pii, live, collection, text_field, api_key, embedder, compare, cache, unit, words)
            audit = _audit(request, defences, rules if not defence else None, attacks, quick, seed, tell)
        _write(audit, out, console)


@audit_app.command("gate")
def gate_command(
    policy: Annotated[Path, typer.Option("--policy", help="Policy file with an `audit` section.")],
    collection: CollectionOption = "example",
    data: DataOption = None,
    pii: PiiOption = None,
    embedder: EmbedderOption = "minilm",
    cache: CacheOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Judge this report.json of `audit run` instead of running attacks; --data etc. then say nothing."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report. [default: none is written]")] = None,
    unit: UnitOption = "sentences",
    words: WordsOption = 48,
    quick: QuickOption = False,
    seed: SeedOption = 0,
) -> None:
    """Exit with status 2 where a threshold of the policy's `audit` section is passed; 1 where it could not be done."""
    from vecguard.audit.gate import ATTACKS_NEEDED, breaches

    console = Console()
    with errors("audit gate"):
        rules = load(policy)
        if rules.audit is None:
            raise ConfigError(f"{policy}: has no `audit` section: there is nothing to hold the policy to")
        defences = _defences(rules, collection, [])
        if report is not None:
            audit = _reported(report, defences)
        else:
            request = Request(data, pii, None, collection, "text", None, embedder, None, cache, unit, words)
            with long_run() as tell:
                audit = _audit(request, defences, rules, ",".join(ATTACKS_NEEDED), quick, seed, tell, risks=False)
        if out is not None:
            _write(audit, out, console)
        found = breaches(audit, rules.audit)
    for breach in found:
        console.print(f"vecguard audit gate: {breach}", style="red", markup=False)
    if found:
        raise typer.Exit(PASSED_OVER)
    console.print("vecguard audit gate: every threshold is kept", style="green")


class Request:
    """Where texts and vectors come from."""

    def __init__(
        self,
        data: Path | None,
        pii: Path | None,
        live: str | None,
        collection: str,
        text_field: str,
        api_key: str | None,
        embedder: str,
        compare: str | None,
        cache: Path | None,
        unit: str,
        words: int = 48,
    ) -> None:
        if unit not in ("sentences", "documents"):
            raise ConfigError(f"--unit {unit}: sentences or documents")
        if live is not None and data is not None:
            raise ConfigError("--live and --data: give one of them")
        self.data, self.pii, self.live, self.collection = data, pii, live, collection
        self.text_field, self.api_key = text_field, api_key
        self.embedder, self.compare, self.cache = embedder, compare, cache
        self.words = words
        self.unit: Unit = "documents" if unit == "documents" else "sentences"

    def scenes(self, sizes: Sizes, seed: int, tell: Tell) -> list[Scene]:
        """The scene, and the same texts under the embedder to compare with."""
        from vecguard.audit.data import texts_of_folder, texts_of_notes
        from vecguard.audit.embedders import CachedEmbedder
        from vecguard.audit.inverters import inverters_for
        from vecguard.audit.live import LiveSource, live_scene
        from vecguard.audit.scene import embed_texts

        if self.live is not None:
            source = LiveSource(self.live, self.collection, self.text_field, api_key=self.api_key)
            return [live_scene(source, sizes, seed, inverters_for(None), tell)]
        texts = (
            texts_of_folder(self.data, sizes, seed, self.unit, self.pii, self.words)
            if self.data is not None
            else texts_of_notes(sizes, seed)
        )
        # The one to compare with comes first: where its package is missing, that is said at once.
        names = [*([self.compare] if self.compare else []), self.embedder]
        scenes = [
            embed_texts(texts, CachedEmbedder(name, self.cache), name, seed, inverters_for(name, self.cache), tell)
            for name in names
        ]
        return scenes[::-1]


def _audit(
    request: Request,
    defences: list[Defence],
    rules: Policy | None,
    attacks: str,
    quick: bool,
    seed: int,
    tell: Tell,
    risks: bool = True,
) -> Audit:
    from vecguard.audit.attacks import attack_names
    from vecguard.audit.data import QUICK, Sizes
    from vecguard.audit.run import Plan, run_audit
    from vecguard.audit.took import watch

    names, took = attack_names(attacks), watch()
    scene, *compared = request.scenes(QUICK if quick else Sizes(), seed, tell)
    # Risk factors are what inversion gives under them, and cost more than most attacks: not for who asks for others.
    plan = Plan(tuple(names), tuple(defences), rules, risks=risks and "inversion" in names, compared=tuple(compared))
    return replace(run_audit(scene, plan, tell), took=took())


def _defences(rules: Policy, collection: str, given: list[str]) -> list[Defence]:
    from vecguard.audit.defence import ClearStorage, PolicyDefence, parse_defence

    if given:
        return [parse_defence(line) for line in given]
    entry = rules.collection(collection)
    if entry is None:
        raise ConfigError(f"no entry of the policy matches the collection `{collection}`: give --collection")
    if not entry.protected:
        return [ClearStorage()]
    name = "default policy" if rules is DEFAULT_POLICY else f"policy ({entry.match})"
    return [PolicyDefence(name, entry.vector(""))]


def _reported(report: Path, defences: list[Defence]) -> Audit:
    """An earlier audit of exactly this defence."""
    from vecguard.audit.defence import PolicyDefence
    from vecguard.audit.gate import check_report
    from vecguard.audit.report import read_json

    (defence,) = defences
    if not isinstance(defence, PolicyDefence):
        raise ConfigError("the policy stores vectors in clear: there is no report to hold against it")
    audit = read_json(report)
    check_report(audit, defence.rule)
    return audit


def _write(audit: Audit, out: Path, console: Console) -> None:
    from vecguard.audit.page import render
    from vecguard.audit.report import leakage_table, utility_table, write_json

    out.mkdir(parents=True, exist_ok=True)
    write_json(audit, out / "report.json")
    (out / "report.html").write_text(render(audit), encoding="utf-8")
    console.print(leakage_table(audit))
    console.print(utility_table(audit))
    for finding in audit.findings:
        if finding.severity == "high":
            console.print(f"- {finding.defence}: {finding.text}", style="red", markup=False, highlight=False)
    console.print(f"written: {out}/report.html, {out}/report.json", highlight=False)


@contextmanager
def errors(command: str) -> Iterator[None]:
    """Say an expected failure in one line, and exit with status 1."""
    try:
        yield
    except VecGuardError as failure:
        typer.echo(f"vecguard {command}: {failure}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _lines() -> Iterator[Tell]:
    yield line
