"""What an audit found: readings judged against clear storage and against knowing nothing. The schema of report.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from vecguard.audit.metrics import Interval
from vecguard.audit.reading import Adversary, Attack, Reading
from vecguard.audit.took import Took
from vecguard.audit.utility import Utility

FORMAT: Final = 2
"""Version of report.json; raised when a field changes its meaning or goes."""

Verdict = Literal["at the floor", "weakened", "broken", "not measured"]

# Shares of what the attack gains on clear storage over knowing nothing.
FLOOR_SHARE: Final = 0.1
BROKEN_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class AttackInfo:
    """One attack as it was run."""

    name: str
    title: str
    adversary: Adversary
    metric: str
    needed: float
    knows: str

    @classmethod
    def of(cls, attack: Attack) -> AttackInfo:
        """From the attack itself."""
        return cls(attack.name, attack.title, attack.adversary, attack.metric, attack.needed, attack.knows)


@dataclass(frozen=True, slots=True)
class Result:
    """One attack on one defence by one adversary.

    `value` is the best deciding figure, `floor` that of knowing nothing, `undefended` that on clear storage. `share` is
    how much of the gain on clear storage is left: (value - floor) / (undefended - floor). `breaks_at` is the fewest
    leaked pairs from which half of it is left; None: never, or no pairs are used.
    """

    attack: str
    adversary: Adversary
    defence: str
    metric: str
    value: float
    low: float
    high: float
    variant: str
    floor: float
    undefended: float
    share: float
    verdict: Verdict
    breaks_at: int | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class DefenceOutcome:
    """One defence: what it says of itself, and its utility.

    `rule` is the policy's rule as canonical JSON, "" for clear storage and for what no policy says.
    """

    name: str
    description: tuple[str, ...]
    utility: Utility
    rule: str = ""


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """One figure of a risk factor: token F1 on clear storage and under the defence without key, R@1 at 100 pairs."""

    factor: Literal["dimension", "embedder", "training data"]
    setting: str
    figures: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class AccessRow:
    """What a role of the policy can obtain through the proxy's API, whatever the vectors' protection."""

    role: str
    actions: tuple[str, ...]
    vectors: str
    scores: str
    obtains: str
    recovered: Interval | None = None
    """Token F1 of text inverted from what the role is shown, where `trilateration` was run and measured just that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement in plain words, with the defence and the part of OWASP LLM08:2025 that it belongs to."""

    defence: str
    severity: Literal["high", "medium", "low", "unknown"]
    text: str
    owasp: str


@dataclass(frozen=True)
class Audit:
    """Everything that a report shows."""

    data: str
    embedder: str
    dims: int
    seed: int
    counts: dict[str, int]
    text_floor: float | None
    attacks: tuple[AttackInfo, ...]
    defences: tuple[DefenceOutcome, ...]
    results: tuple[Result, ...]
    risks: tuple[RiskPoint, ...] = ()
    access: tuple[AccessRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    pairs: tuple[int, ...] = ()
    """Numbers of leaked pairs that attacks were to have; those above the other stored records could not be had."""
    format: int = FORMAT
    seconds: dict[str, float] = field(default_factory=dict)
    """By the clock, of each attack on each defence."""
    left_out: tuple[str, ...] = ()
    """Defences that were to be attacked, too, when the time was over."""
    took: Took | None = None
    """The whole run, embedding included, where somebody looked."""

    def of(self, defence: str) -> list[Result]:
        """The results of one defence, in the order of the attacks."""
        return [result for result in self.results if result.defence == defence]

    @property
    def pairs_missing(self) -> tuple[int, ...]:
        """Those numbers of pairs for which there were not enough records."""
        return tuple(count for count in self.pairs if count > self.counts["other stored records"])


def judge(
    attack: Attack, defence: str, readings: Sequence[Reading], clear: Sequence[Reading], floor: float
) -> list[Result]:
    """Results of an attack on a defence: one for its own adversary, one for B where A's also used leaked pairs."""
    found = []
    for paired in (False, True):
        mine = [r for r in readings if r.metric == attack.metric and (r.pairs > 0) == paired]
        same = [r for r in clear if r.metric == attack.metric and (r.pairs > 0) == paired]
        if mine and same:
            shown = tuple(r for r in readings if (r.pairs > 0) == paired or len({x.pairs > 0 for x in readings}) == 1)
            who: Adversary = "B" if paired and attack.adversary == "A" else attack.adversary
            found.append(_result(attack, who, defence, mine, same, floor, shown))
    return found


def _result(
    attack: Attack,
    adversary: Adversary,
    defence: str,
    mine: Sequence[Reading],
    clear: Sequence[Reading],
    floor: float,
    shown: tuple[Reading, ...],
) -> Result:
    top = max(mine, key=lambda reading: reading.interval.value)
    undefended = max(reading.interval.value for reading in clear)
    share = share_left(top.interval.value, undefended, floor)
    measured = undefended >= attack.needed
    at = [r.pairs for r in mine if r.pairs and share_left(r.interval.value, undefended, floor) >= BROKEN_SHARE]
    return Result(
        attack=attack.name,
        adversary=adversary,
        defence=defence,
        metric=attack.metric,
        value=top.interval.value,
        low=top.interval.low,
        high=top.interval.high,
        variant=top.variant,
        floor=floor,
        undefended=undefended,
        share=share,
        verdict=verdict_of(share) if measured else "not measured",
        breaks_at=min(at) if at and measured else None,
        readings=shown,
    )


def share_left(value: float, undefended: float, floor: float) -> float:
    """(value - floor) / (undefended - floor), 0 where nothing is above the floor."""
    gain = undefended - floor
    return max(0.0, (value - floor) / gain) if gain > 1e-9 else 0.0


def verdict_of(share: float) -> Verdict:
    """At the floor up to a tenth of the gain on clear storage, broken from half of it."""
    if share <= FLOOR_SHARE:
        return "at the floor"
    return "broken" if share >= BROKEN_SHARE else "weakened"
