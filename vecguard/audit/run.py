"""One audit from beginning to end: every attack against clear storage first, then against each defence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vecguard.audit.access import access_rows
from vecguard.audit.attacks import ATTACKS
from vecguard.audit.defence import CLEAR, ClearStorage, Defence, ShieldDeployment
from vecguard.audit.findings import findings_of
from vecguard.audit.outcome import AttackInfo, Audit, DefenceOutcome, Result, judge
from vecguard.audit.reading import Attack, Reading
from vecguard.audit.risk import risk_points
from vecguard.audit.scene import Scene, Tell
from vecguard.audit.target import Target
from vecguard.audit.textual import text_floor
from vecguard.audit.utility import measure_utility
from vecguard.policy.model import Policy


@dataclass(frozen=True)
class Plan:
    """What to run: attacks by name, defences (clear storage is always among them), and the policy for access."""

    attacks: tuple[str, ...]
    defences: tuple[Defence, ...]
    policy: Policy | None = None
    risks: bool = True
    compared: tuple[Scene, ...] = field(default_factory=tuple)
    """The same texts under other embedders, for that risk factor."""


def run_audit(scene: Scene, plan: Plan, tell: Tell) -> Audit:
    """Run the plan.

    Raises:
        InvalidArgument: a defence cannot be made for the embedder's dimensions.
    """
    defences = _with_clear(plan.defences)
    attacks: list[Attack] = [ATTACKS.load(name)() for name in plan.attacks]
    steps, done, seconds = len(defences) * (len(attacks) + 1), 0, {}
    results: list[Result] = []
    outcomes: list[DefenceOutcome] = []
    clear: dict[str, list[Reading]] = {}
    for defence in defences:
        target = Target(scene, defence.deploy(scene.dims, scene.seed))
        tell(f"{defence.name}: search quality", done, steps)
        outcomes.append(_outcome(scene, target))
        done += 1
        for attack in attacks:
            tell(f"{defence.name}: {attack.title.lower()}", done, steps)
            started = time.perf_counter()
            readings = list(attack.run(scene, target))
            clear.setdefault(attack.name, readings)  # clear storage comes first
            floor = attack.floor(scene, target) if readings else 0.0
            results += judge(attack, defence.name, readings, clear[attack.name], floor)
            seconds[f"{defence.name} {attack.name}"] = round(time.perf_counter() - started, 2)
            done += 1
    tell("risk factors", done, steps)
    audit = Audit(
        data=scene.name,
        embedder=scene.embedder,
        dims=scene.dims,
        seed=scene.seed,
        counts=_counts(scene),
        text_floor=text_floor(scene),
        attacks=tuple(AttackInfo.of(attack) for attack in attacks),
        defences=tuple(outcomes),
        results=tuple(results),
        risks=tuple(risk_points(scene, _protected(defences), plan.compared)) if plan.risks else (),
        access=tuple(access_rows(plan.policy)) if plan.policy else (),
        seconds=seconds,
    )
    return findings_of(audit)


def _with_clear(defences: Sequence[Defence]) -> list[Defence]:
    others = [defence for defence in defences if defence.name != CLEAR]
    return [ClearStorage(), *others]


def _protected(defences: Sequence[Defence]) -> Defence:
    """The defence that risk factors are told of: the first that is one."""
    return next((defence for defence in defences if defence.name != CLEAR), defences[0])


def _outcome(scene: Scene, target: Target) -> DefenceOutcome:
    deployment = target.deployment
    said: tuple[str, ...] = ("Vectors are stored as they are.",)
    if isinstance(deployment, ShieldDeployment):
        said = tuple(deployment.describe())
    return DefenceOutcome(deployment.name, said, measure_utility(scene, deployment))


def _counts(scene: Scene) -> dict[str, int]:
    return {
        "records under attack": len(scene.victims),
        "other stored records": len(scene.crowd),
        "attacker's own texts": len(scene.own),
        "texts of another domain": len(scene.foreign),
        "texts with personal data": len(scene.personal.tagged),
        "documents": len(scene.retrieval.documents),
        "questions": len(scene.retrieval.questions),
    }
