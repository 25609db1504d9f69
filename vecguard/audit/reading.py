"""What an attack reads off a defence: one figure with its interval, and what it was measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from vecguard.audit.metrics import Interval
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

Adversary = Literal["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure. `variant` says how it was had (an inverter, an estimator); `pairs` are the leaked pairs it took."""

    variant: str
    metric: str
    interval: Interval
    pairs: int = 0


class Attack(Protocol):
    """One attack. A new one is one file and one line in `vecguard.audit.attacks.ATTACKS`.

    `metric` is the deciding figure and `needed` what it must reach on clear storage before it says anything about a
    defence. `knows` says in words what the attacker has.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    adversary: ClassVar[Adversary]
    metric: ClassVar[str]
    needed: ClassVar[float]
    knows: ClassVar[str]

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """Attack one defence."""

    def floor(self, scene: Scene, target: Target) -> float:
        """The deciding figure of somebody who has nothing to go by."""
