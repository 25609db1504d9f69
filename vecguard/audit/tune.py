"""Searching mechanism, strength and over-fetch for the cheapest protection that leaks and loses no more than asked.

Every candidate is a rule of a policy. Its leakage is the best token F1 of the attacks on text (without key, without
pairs, and with a number of leaked pairs); its recall is measured with the proxy's own re-ranking; its cost is the
candidates that a search reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vecguard.audit.defence import ClearStorage, PolicyDefence, parse_defence
from vecguard.audit.linear import Floats, ridge, unit
from vecguard.audit.mixture import cell_maps
from vecguard.audit.outcome import FLOOR_SHARE
from vecguard.audit.plots import COLOURS, svg
from vecguard.audit.scene import Scene, Tell, TextInverter
from vecguard.audit.target import Target, in_clear_space
from vecguard.audit.textual import mean_f1, text_floor
from vecguard.audit.utility import measure_utility
from vecguard.errors import ConfigError, InvalidArgument
from vecguard.policy.model import FixedRerankRule, RerankRule, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec

RATIOS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
CERTAINTIES: Final = (1.5, 2.0, 3.0)
CAPS: Final = (1_000, 4_000)
# Candidates where nothing certifies that they are enough.
FIXED: Final = (50, 200, 1_000)
MECHANISMS: Final = ("truncate:dims=128+rotation+gaussian:ratio=1", "rotation+gaussian:ratio=1+int8")
"""Tried beside rotation and Gaussian noise where nothing is said: what makes the protected index smaller."""
NEEDED_F1: Final = 0.5


@dataclass(frozen=True, slots=True)
class Aim:
    """What is asked for: least recall@10, most token F1, and the leaked pairs to reckon with."""

    recall: float
    max_f1: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rule, what leaks under it, and what search keeps and costs. `candidates` are read for a search."""

    name: str
    rule: VectorRule
    leaked: float
    recall: float
    candidates: float

    def meets(self, aim: Aim) -> bool:
        """Whether it leaks and loses no more than asked."""
        return self.leaked <= aim.max_f1 and self.recall >= aim.recall


@dataclass(frozen=True)
class Tuned:
    """All that was tried, the floor of unrelated text, and the cheapest that meets the aim (None: none does)."""

    tried: tuple[Candidate, ...]
    floor: float
    undefended: float
    chosen: Candidate | None


def rules_of(lines: Sequence[str]) -> list[VectorRule]:
    """Rules of mechanisms that are written as defences are.

    Raises:
        ConfigError: a line is no rule of a policy.
    """
    parsed = {line: parse_defence(line) for line in lines}
    if clear := [line for line, defence in parsed.items() if not isinstance(defence, PolicyDefence)]:
        raise ConfigError(f"`{clear[0]}` protects nothing: there is nothing to tune")
    return [defence.rule for defence in parsed.values() if isinstance(defence, PolicyDefence)]


def tune(scene: Scene, aim: Aim, tell: Tell, mechanisms: Sequence[VectorRule] = ()) -> Tuned:
    """Try rotation with noise of rising strength, and further rules; for each strength, re-ranking of rising effort.

    Raises:
        ConfigError: the attacks do not succeed on clear storage, so that nothing could be said; or the aim lies below
            what unrelated text has in common.
    """
    rules = [*_noises(), *mechanisms]
    tell("clear storage", 0, len(rules))
    undefended = leaked(Target(scene, ClearStorage().deploy(scene.dims, scene.seed)), aim.pairs)
    tell("what unrelated text has in common", 0, len(rules))
    floor = text_floor(scene)
    if undefended < NEEDED_F1:
        raise ConfigError(f"the attacks reach token F1 {undefended:.3f} on clear storage, {NEEDED_F1} is needed")
    if aim.max_f1 < floor:
        least = floor + FLOOR_SHARE * (undefended - floor)
        raise ConfigError(
            f"unrelated text has token F1 {floor:.3f} already, so no protection leaks less: ask for --max-f1 above "
            f"that ({least:.2f} is a tenth of what attacks gain on clear storage)"
        )
    tried: list[Candidate] = []
    for step, rule in enumerate(rules):
        name = rule_name(rule)
        tell(name, step, len(rules))
        try:
            found = leaked(Target(scene, PolicyDefence(name, rule).deploy(scene.dims, scene.seed)), aim.pairs)
        except InvalidArgument:
            continue  # not for this number of dimensions
        tried += _efforts(scene, rule, found, aim)
    fit = [candidate for candidate in tried if candidate.meets(aim)]
    return Tuned(tuple(tried), floor, undefended, min(fit, key=lambda one: one.candidates, default=None))


def _noises() -> Iterator[VectorRule]:
    yield VectorRule(transforms=(RotationSpec(),))
    for ratio in RATIOS:
        yield VectorRule(transforms=(RotationSpec(), GaussianSpec(ratio=ratio)))


def _efforts(scene: Scene, rule: VectorRule, leaked: float, aim: Aim) -> Iterator[Candidate]:
    """The rule with more and more re-ranking, until it keeps the recall asked for."""
    for rerank in _rising(rule, len(scene.retrieval.documents)):
        effort = rule.model_copy(update={"rerank": rerank})
        utility = measure_utility(scene, PolicyDefence(rule_name(effort), effort).deploy(scene.dims, scene.seed))
        yield Candidate(rule_name(effort), effort, leaked, utility.recall.value, utility.candidates)
        if utility.recall.value >= aim.recall:
            return


def _rising(rule: VectorRule, documents: int) -> Iterator[RerankRule | FixedRerankRule]:
    """Re-ranking of rising effort, as the rule's transforms allow; more than all documents cannot be read."""
    if isinstance(rule.rerank, FixedRerankRule):
        yield from (FixedRerankRule(candidates=count) for count in FIXED if count < documents)
    elif rule.noise is None:
        yield RerankRule(certainty=CERTAINTIES[0], max_candidates=CAPS[0])
    else:
        for index, cap in enumerate(CAPS):
            if index == 0 or CAPS[index - 1] < documents:
                yield from (RerankRule(certainty=certainty, max_candidates=cap) for certainty in CERTAINTIES)


def leaked(target: Target, pairs: int) -> float:
    """The best token F1 of inversion without key and with leaked pairs."""
    scene, count = target.scene, target.most_pairs(pairs)
    stored, clear = target.pairs(count)
    # Every rule of a policy hides the axes: as they were stolen, its vectors are not worth the slow inverters.
    stolen = scene.inverters if target.shows_axes else scene.quick_inverters
    best = _best_f1(scene, stolen, in_clear_space(target.victims, scene.dims))
    guesses = [ridge(stored, clear).apply(target.victims)]
    cells, noise = target.deployment.cells, target.deployment.noise_ratio
    if 1 < cells <= count // 2:  # one map for all cells would flatter them
        maps = cell_maps(stored, clear, cells, noise, scene.random(f"tune {target.name}"))
        guesses.append(maps.guesses(target.victims, scene.own.embeddings))
    return max(best, *(_best_f1(scene, scene.inverters, rows) for rows in guesses))


def _best_f1(scene: Scene, inverters: Sequence[TextInverter], guesses: Floats) -> float:
    return max(mean_f1(inverter.invert(unit(guesses)), scene.victims.texts) for inverter in inverters)


def rule_name(rule: VectorRule) -> str:
    """A rule in one line: transforms with what was said of them, then certainty and cap of re-ranking."""
    steps = []
    for spec in rule.transforms:
        fields = {key: value for key, value in spec.model_dump().items() if key != "kind"}
        said = ",".join(f"{key}={_said(value)}" for key, value in fields.items())
        steps.append(f"{spec.kind}:{said}" if said else spec.kind)
    name = "+".join(steps)
    if isinstance(rule.rerank, FixedRerankRule):
        name += f" candidates={rule.rerank.candidates}"
    elif isinstance(rule.rerank, RerankRule) and rule.rerank != RerankRule():
        name += f" z={rule.rerank.certainty:g} cap={rule.rerank.max_candidates}"
    return name


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def frontier(tried: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other one beats in leakage, recall and cost together, by falling leakage."""
    best = [
        one
        for one in tried
        if not any(
            other != one
            and other.leaked <= one.leaked
            and other.recall >= one.recall
            and other.candidates <= one.candidates
            and (other.leaked, other.recall, other.candidates) != (one.leaked, one.recall, one.candidates)
            for other in tried
        )
    ]
    return sorted(best, key=lambda one: -one.leaked)


def frontier_plot(tuned: Tuned, aim: Aim) -> str:
    """Leakage against recall, and against the candidates read, as one SVG document."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    best = frontier(tuned.tried)
    for axes, heading, values in (
        (left, "recall@10", [one.recall for one in tuned.tried]),
        (right, "candidates read for a search", [one.candidates for one in tuned.tried]),
    ):
        axes.scatter(values, [one.leaked for one in tuned.tried], color=COLOURS[1], alpha=0.45)
        axes.axhline(tuned.floor, color="#999999", linestyle="--", label="floor: unrelated text")
        axes.axhline(aim.max_f1, color=COLOURS[0], linestyle=":", label=f"asked for: {aim.max_f1:g}")
        axes.set_xlabel(heading)
        axes.grid(alpha=0.3)
    left.plot([one.recall for one in best], [one.leaked for one in best], ".", color=COLOURS[2], label="frontier")
    left.axvline(aim.recall, color=COLOURS[0], linestyle=":")
    right.set_xscale("log")
    if tuned.chosen is not None:
        left.scatter([tuned.chosen.recall], [tuned.chosen.leaked], color=COLOURS[0], zorder=3, label="chosen")
        right.scatter([tuned.chosen.candidates], [tuned.chosen.leaked], color=COLOURS[0], zorder=3)
    left.set_ylabel(f"token F1 recovered (with {aim.pairs:,} pairs)")
    left.legend(frameon=False, fontsize=8)
    return svg(drawn)
