"""One recorded attack, run by several accounts, hidden in honest calls, fast or drip by drip.

Nothing is asked anew. That is exact where accounts pool what they know, as these do: an answer does not depend on who
asks, so the attacker's next call is the same whichever account makes it. A blocked account drops out, and the others go
on with the calls that are left. It is an approximation from the rung `degrade` on, where a live attacker would get
less: shares of the collection given here are then too high, never too low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from benchmarks.detection.judges import Judge, See, Watched
from benchmarks.detection.recording import Gone, Leaving, Recording
from vecguard.detect.observation import Observation

SYBILS: Final = (1, 8, 64)
MIXES: Final = (0.0, 0.5, 0.9)
Pace = Literal["fast", "drip"]
PACES: Final[tuple[Pace, ...]] = ("fast", "drip")
SECONDS_APART: Final[dict[Pace, float]] = {"fast": 1.0, "drip": 300.0}
"""Between two calls of an account: `drip` is 288 calls a day."""
_BEGINS: Final = 1_800_000_000.0


@dataclass(frozen=True)
class Variant:
    """How an attack is run: by how many accounts, what share of each account's calls is honest, at which pace."""

    sybils: int = 1
    mix: float = 0.0
    pace: Pace = "fast"


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    `calls`: calls of the attack when a rung was first reached by an account; `gone`: what had left by then, by rung;
    `got`: what the attack was after by then (`Recording.progress`), by rung.
    `end`: what had left when every account was blocked, or the calls were over (`stopped` says which), after `spent`
    calls of the attack. `worst`: the highest statistic of any account. `by`: the detector that led at the first block.
    `refused`: calls whose answer was too large to be given, of which nothing left and nothing was seen.
    """

    variant: Variant
    attack: str
    calls: dict[str, int]
    gone: dict[str, Gone]
    got: dict[str, float]
    end: Gone
    spent: int
    stopped: bool
    worst: float
    by: str
    refused: int = 0


@dataclass(frozen=True)
class Ladder:
    """From which statistic on an account stands on which rung, in ascending order; `block` is the last."""

    rungs: tuple[tuple[str, float], ...]

    def reached(self, statistic: float) -> list[str]:
        """The rungs at or below a statistic."""
        return [name for name, threshold in self.rungs if statistic >= threshold]


@dataclass
class _Account:
    see: See
    time: float
    honest: Iterator[Observation] | None
    name: str
    calls: int = 0
    due: float = 0.0


def run_campaign(
    recording: Recording,
    honest: Sequence[Observation],
    judge: Judge,
    ladder: Ladder,
    variant: Variant,
    most: int | None = None,
    stops: bool = True,
    refuses: Callable[[Observation], bool] = lambda one: False,
) -> Outcome:
    """Deal the calls of an attack to accounts in turn, with honest calls between, and see where each account gets.

    `honest`: calls of honest users of the same collection, to hide in; each account takes them from another place on.
    `most`: calls of the attack that are dealt at most. `stops`: whether the last rung stops an account, or only counts.
    `refuses`: which answers are given to nobody.
    """
    accounts = [_account(judge, honest, number, variant) for number in range(variant.sybils)]
    leaving, calls, gone = Leaving(recording.records), dict[str, int](), dict[str, Gone]()
    worst, by, spent, refused = 0.0, "", 0, 0
    for one in recording.seen[:most]:
        if not accounts:
            break
        account = accounts[spent % len(accounts)]
        spent += 1
        if refuses(one):
            refused += 1
            continue
        leaving.add(one)
        statistic = _step(account, one, variant)
        worst = max(worst, statistic)
        for rung in ladder.reached(statistic):
            if rung not in calls:
                calls[rung], gone[rung] = spent, leaving.gone
        if statistic >= ladder.rungs[-1][1]:
            by = by or _leader(account.see)
            if stops:
                accounts.remove(account)
    got = {rung: recording.reached(at) for rung, at in calls.items()}
    return Outcome(variant, recording.name, calls, gone, got, leaving.gone, spent, not accounts, worst, by, refused)


def _account(judge: Judge, honest: Sequence[Observation], number: int, variant: Variant) -> _Account:
    hiding = _from(honest, number * 97) if variant.mix else None
    return _Account(judge.fresh(), _BEGINS + number, hiding, f"account {number}")


def _from(honest: Sequence[Observation], start: int) -> Iterator[Observation]:
    at = start
    while True:
        yield honest[at % len(honest)]
        at += 1


def _step(account: _Account, one: Observation, variant: Variant) -> float:
    """The honest calls that are due, and then the attack's; the highest statistic meanwhile."""
    account.due += variant.mix / (1 - variant.mix)
    worst = 0.0
    while account.honest is not None and account.due >= 1:
        account.due -= 1
        worst = max(worst, _seen(account, next(account.honest), variant))
    return max(worst, _seen(account, one, variant))


def _seen(account: _Account, one: Observation, variant: Variant) -> float:
    account.time += SECONDS_APART[variant.pace]
    account.calls += 1
    return account.see([replace(one, time=account.time, principal=account.name)])


def _leader(see: See) -> str:
    levels = see.levels if isinstance(see, Watched) else {}
    return max(levels, key=levels.__getitem__) if levels else ""


def block_only(threshold: float) -> Ladder:
    """A ladder of one rung, for judges that know no other: refuse from the threshold on."""
    return Ladder((("block", threshold),))
