"""One audit from beginning to end: every attack against clear storage first, then against each defence."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vecguard.audit.access import access_rows, by_view
from vecguard.audit.attacks import ATTACKS
from vecguard.audit.attacks.alignment import PAIRS
from vecguard.audit.defence import CLEAR, ClearStorage, Defence, ShieldDeployment, rule_text
from vecguard.audit.findings import findings_of
from vecguard.audit.outcome import AccessRow, AttackInfo, Audit, DefenceOutcome, Result, judge
from vecguard.audit.reading import Attack, Reading
from vecguard.audit.risk import risk_points
from vecguard.audit.scene import Scene, Tell
from vecguard.audit.target import Target
from vecguard.audit.textual import asked_text_floor
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
    over: Callable[[], bool] = lambda: False
    """Whether no further defence is to be begun: the others are left out, and named."""


def run_audit(scene: Scene, plan: Plan, tell: Tell) -> Audit:
    """Run the plan.

    Raises:
        InvalidArgument: a defence cannot be made for the embedder's dimensions.
    """
    defences = _with_clear(plan.defences)
    attacks: list[Attack] = [ATTACKS.load(name)() for name in plan.attacks]
    found = _Found(scene, attacks, tell, len(defences) * (len(attacks) + 1))
    left_out: list[str] = []
    for defence in defences:
        if plan.over() and found.outcomes:
            left_out.append(defence.name)
        else:
            found.attack(defence)
    found.say("risk factors")
    audit = Audit(
        data=scene.name,
        embedder=scene.embedder,
        dims=scene.dims,
        seed=scene.seed,
        counts=_counts(scene),
        text_floor=asked_text_floor(scene),
        attacks=tuple(AttackInfo.of(attack) for attack in attacks),
        defences=tuple(found.outcomes),
        results=tuple(found.results),
        risks=tuple(risk_points(scene, _protected(defences), plan.compared)) if plan.risks else (),
        access=_access(scene, plan.policy, _protected(defences), found.results) if plan.policy else (),
        pairs=PAIRS,
        seconds=found.seconds,
        left_out=tuple(left_out),
    )
    return findings_of(audit)


class _Found:
    """What the attacks found so far, defence by defence; clear storage comes first, and all others are judged by it."""

    def __init__(self, scene: Scene, attacks: Sequence[Attack], tell: Tell, steps: int) -> None:
        self.outcomes: list[DefenceOutcome] = []
        self.results: list[Result] = []
        self.seconds: dict[str, float] = {}
        self._clear: dict[str, list[Reading]] = {}
        self._scene, self._attacks, self._tell, self._steps = scene, attacks, tell, steps

    def say(self, what: str) -> None:
        self._tell(what, len(self.outcomes) + len(self.seconds), self._steps)

    def attack(self, defence: Defence) -> None:
        """Measure the defence's search quality, and run every attack on it."""
        target = Target(self._scene, defence.deploy(self._scene.dims, self._scene.seed))
        self.say(f"{defence.name}: search quality")
        self.outcomes.append(_outcome(self._scene, target))
        for attack in self._attacks:
            self.say(f"{defence.name}: {attack.title.lower()}")
            started = time.perf_counter()
            readings = list(attack.run(self._scene, target))
            clear = self._clear.setdefault(attack.name, readings)
            floor = attack.floor(self._scene, target) if readings else 0.0
            self.results += judge(attack, defence.name, readings, clear, floor)
            self.seconds[f"{defence.name} {attack.name}"] = round(time.perf_counter() - started, 2)


def _access(scene: Scene, policy: Policy, defence: Defence, results: Sequence[Result]) -> tuple[AccessRow, ...]:
    seen = [r.readings for r in results if (r.attack, r.defence) == ("trilateration", defence.name)]
    return tuple(access_rows(policy, by_view(seen[0], scene.dims) if seen else {}))


def _with_clear(defences: Sequence[Defence]) -> list[Defence]:
    others = [defence for defence in defences if defence.name != CLEAR]
    return [ClearStorage(), *others]


def _protected(defences: Sequence[Defence]) -> Defence:
    """The defence that risk factors are told of: the first that is one."""
    return next((defence for defence in defences if defence.name != CLEAR), defences[0])


def _outcome(scene: Scene, target: Target) -> DefenceOutcome:
    deployment = target.deployment
    said: tuple[str, ...] = ("Vectors are stored as they are.",)
    rule = ""
    if isinstance(deployment, ShieldDeployment):
        said, rule = tuple(deployment.describe()), rule_text(deployment.rule)
    return DefenceOutcome(deployment.name, said, measure_utility(scene, deployment), rule)


def _counts(scene: Scene) -> dict[str, int]:
    return {
        "records under attack": len(scene.victims),
        "words in the longest of them": max(len(text.split()) for text in scene.victims.texts),
        "other stored records": len(scene.crowd),
        "attacker's own texts": len(scene.own),
        "texts of another domain": len(scene.foreign),
        "texts with personal data": len(scene.personal.tagged),
        "documents": len(scene.retrieval.documents),
        "questions": len(scene.retrieval.questions),
    }
