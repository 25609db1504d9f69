"""A whole run of the lab, step by step: honest days, attacks on the live proxy, campaigns, costs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from benchmarks.detection.attacks import ATTACKS
from benchmarks.detection.baselines import Chen, Prada, RateLimit
from benchmarks.detection.benign import FAMILIES
from benchmarks.detection.benign.user import Family
from benchmarks.detection.campaign import SYBILS, Ladder, Outcome, Variant, block_only, run_campaign
from benchmarks.detection.cost import Cost, measure_cost
from benchmarks.detection.crowds import (
    CALLERS,
    CROWD_FAMILIES,
    MIXED,
    Call,
    CrowdDay,
    Dealt,
    dealt,
    drawn,
    honest_bank,
)
from benchmarks.detection.days import DAYS_EACH, Day, Honest, judge_family
from benchmarks.detection.guarded import Guarded, attack_guarded
from benchmarks.detection.judges import Judge, VecGuard
from benchmarks.detection.latency import Latency, measure_latency
from benchmarks.detection.live import BLOCK_ONLY, Proxy, serving
from benchmarks.detection.offline import Stored
from benchmarks.detection.parallel import spread
from benchmarks.detection.plan import MOST_CALLS, Plan
from benchmarks.detection.record import HIDERS, crowd_live, crowd_offline, record_live, record_offline
from benchmarks.detection.recording import RECOVERED, Leaving, Recording
from benchmarks.detection.results import Attacked, Results, alarms_of
from benchmarks.detection.texts import TextVectors
from benchmarks.detection.usual import SEED_STEP, fitted, usual_strictness
from benchmarks.detection.world import World
from benchmarks.machine import describe_machine
from vecguard.detect.observation import Observation
from vecguard.detect.sketch import Sketcher
from vecguard.detect.thresholds import calibrated
from vecguard.keys.key import Key
from vecguard.policy.detection import DetectionRule

Tell = Callable[[str], None]
T = TypeVar("T")

BASELINES: Final = (RateLimit(), Prada(), Chen())
BASELINE_FILE: Final = Path(__file__).parent / "baselines.json"
_CHUNK: Final = 40
_BOUND: Final = 0.05


class Told(NamedTuple):
    """What was found of attacks and crowds, as `Results` has it."""

    outcomes: list[Outcome]
    first: list[Outcome]
    baselines: dict[str, list[Outcome]]
    crowds: list[CrowdDay]
    dealt: list[Dealt]
    guarded: list[Guarded]
    latency: list[Latency]


class Lab:
    """One run on one world."""

    def __init__(self, world: World, embed: TextVectors, plan: Plan, out: Path, tell: Tell) -> None:
        self._world, self._embed, self._plan, self._out, self._tell = world, embed, plan, out, tell
        self._rule = DetectionRule()
        self._seconds: dict[str, float] = {}
        self._strictness = 0.0

    def run(self) -> Results:
        """Everything."""
        machine = describe_machine()
        with self._step("what is usual"):
            self._learn()
        with self._step("honest days"):
            judges = [VecGuard(self._rule, fitted(self._strictness)), *BASELINES]
            days = honest_days(self._world, self._plan.days, self._plan.seed, judges)
        with self._step("attacks on the proxy"):
            (live,) = spread(lambda _: self._live(), [None], 1)
        recordings, crowd, guarded, latency = live
        with self._step("campaigns"):
            outcomes = self.campaigns(recordings, crowd)
            first = self.first_callers(recordings, crowd)
            baselines = {judge.name: self.baseline(judge, recordings, crowd) for judge in BASELINES}
        with self._step("callers together"):
            crowds, dealt_out = self.crowds(recordings)
        with self._step("cost"):
            traffic = [one for recording in recordings for one in recording.seen[:150]] + list(crowd)
            (cost,) = spread(lambda _: measure_cost(traffic, self._plan.principals), [None], 1)
        told = Told(outcomes, first, baselines, crowds, dealt_out, guarded, latency)
        return self.results(machine, days, recordings, told, cost)

    def _learn(self) -> None:
        """Find out what is usual on the collection, from honest callers that are there no more."""
        seed = self._plan.seed + SEED_STEP
        honest = Honest(self._world, _sketcher(seed), seed)
        (self._strictness,) = spread(lambda _: usual_strictness(honest), [None], 1)

    def _live(self) -> tuple[list[Recording], list[Observation], list[Guarded], list[Latency]]:
        """What needs the proxy; in a process of its own, since a process that has used gRPC must not fork."""
        recordings, crowd = self.record_in_memory() if self._plan.in_memory else ([], [])
        with self.served() as proxy:
            if not recordings:
                recordings, crowd = self.record(proxy)
            guarded, latency = self.guard(proxy, recordings, crowd)
        self._embed.save()
        return recordings, crowd, guarded, latency

    @contextmanager
    def served(self) -> Iterator[Proxy]:
        """The proxy, with a key for every attack and every honest family."""
        names = [attack.name for attack in ATTACKS] + [family.name for family in FAMILIES]
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder), self._out, [*names, HIDERS], self._world.documents) as proxy,
        ):
            yield proxy

    def record(self, proxy: Proxy) -> tuple[list[Recording], list[Observation]]:
        """Every attack once, observed and not stopped; and honest calls to hide in."""
        plan, world = self._plan, self._world
        recordings = []
        for attack in ATTACKS:
            self._tell(f"attacks on the proxy: {attack.name}")
            recordings.append(record_live(proxy, attack, world, self._embed, plan.seed, plan.live))
        return recordings, crowd_live(proxy, world, plan.crowd, plan.seed)

    def record_in_memory(self) -> tuple[list[Recording], list[Observation]]:
        """The same against exact search in memory: other answers than the proxy's only where its over-fetch ends at
        the policy's cap, and many times faster."""
        plan, world = self._plan, self._world
        stored, sketcher = Stored(world.documents), _sketcher(plan.seed)
        recordings = []
        for attack in ATTACKS:
            self._tell(f"attacks in memory: {attack.name}")
            recordings.append(record_offline(stored, sketcher, attack, world, self._embed, plan.seed, plan.live))
        return recordings, crowd_offline(stored, sketcher, world, plan.crowd, plan.seed)

    def guard(
        self, proxy: Proxy, recordings: Sequence[Recording], crowd: Sequence[Observation]
    ) -> tuple[list[Guarded], list[Latency]]:
        """Every attack against the enforcing collection, and what honest calls wait there."""
        plan, world = self._plan, self._world
        rule = DetectionRule.model_validate({"ladder": BLOCK_ONLY})
        guarded = []
        for attack, recording in zip(ATTACKS, recordings, strict=True):
            self._tell(f"attacks on the enforcing proxy: {attack.name}")
            judge = VecGuard(rule)
            told = run_campaign(recording, crowd, judge, _ladder(rule), Variant(), refuses=judge.refuses)
            at = told.calls.get("block")
            most = len(recording.seen) if at is None else at + 100
            guarded.append(attack_guarded(proxy, attack, world, self._embed, plan.seed, at, most))
        self._tell("latency of honest calls")
        return guarded, [measure_latency(proxy, family, world, plan.timed, plan.seed) for family in FAMILIES]

    def campaigns(self, recordings: Sequence[Recording], crowd: Sequence[Observation]) -> list[Outcome]:
        judge, ladder = VecGuard(self._rule, fitted(self._strictness)), _ladder(self._rule)
        items = [(recording, variant) for recording in recordings for variant in self._plan.variants]

        def run(item: tuple[Recording, Variant]) -> Outcome:
            recording, variant = item
            return run_campaign(
                recording, crowd, judge, ladder, variant, MOST_CALLS[variant.mix], refuses=judge.refuses
            )

        return self._told("campaigns", spread(run, items), len(items))

    def first_callers(self, recordings: Sequence[Recording], crowd: Sequence[Observation]) -> list[Outcome]:
        """One account, unhidden, where nobody asked before, so that nothing is known of what is usual."""
        judge, ladder = VecGuard(self._rule), _ladder(self._rule)
        return list(
            spread(
                lambda one: run_campaign(one, crowd, judge, ladder, Variant(), MOST_CALLS[0.0], refuses=judge.refuses),
                recordings,
            )
        )

    def baseline(self, judge: Judge, recordings: Sequence[Recording], crowd: Sequence[Observation]) -> list[Outcome]:
        """One account, unhidden, both paces: as far as the recording goes, whatever the threshold."""
        ladder = block_only(baseline_thresholds()[judge.name])
        items = [(one, variant) for one in recordings for variant in (Variant(), Variant(pace="drip"))]
        return list(
            spread(
                lambda item: run_campaign(item[0], crowd, judge, ladder, item[1], MOST_CALLS[0.0], stops=False),
                items,
            )
        )

    def crowds(self, recordings: Sequence[Recording]) -> tuple[list[CrowdDay], list[Dealt]]:
        """Honest crowds, and dealt attacks beside the largest of their families, looked at together."""
        honest = Honest(self._world, _sketcher(self._plan.seed), self._plan.seed)
        principals = ceil(CALLERS * min(self._plan.days * 2, 1) / DAYS_EACH) * 2
        bank = dict(
            zip(
                CROWD_FAMILIES,
                spread(partial(_bank, honest, principals, self._strictness), CROWD_FAMILIES),
                strict=True,
            )
        )
        bank[MIXED] = [day for days in bank.values() for day in days]
        items = [(name, number) for name in bank for number in range(self._plan.crowd_days)]
        days = list(spread(lambda item: drawn(*item, bank[item[0]], self._plan.seed, self._strictness), items))
        beside = bank[CROWD_FAMILIES[0]][:CALLERS]
        deals = [(one, sybils, with_) for one in recordings for sybils in SYBILS[1:] for with_ in ([], beside)]
        most = {False: MOST_CALLS[0.0], True: MOST_CALLS[0.5]}
        return days, list(spread(lambda deal: dealt(*deal, most[bool(deal[2])], self._strictness), deals))

    def results(
        self,
        machine: dict[str, str | int | float],
        days: list[Day],
        recordings: list[Recording],
        told: Told,
        cost: Cost,
    ) -> Results:
        thresholds, judges = calibrated(), baseline_thresholds()
        rungs = dict(self._rule.ladder.rungs)
        alarms = {f"VecGuard: {rung}": alarms_of(days, "VecGuard", at) for rung, at in rungs.items()}
        alarms |= {judge.name: alarms_of(days, judge.name, judges[judge.name]) for judge in BASELINES}
        return Results(
            machine=machine,
            plan=asdict(self._plan),
            reported_on=self._world.name,
            calibrated_on=thresholds.calibrated_on,
            usual_strictness=self._strictness,
            ladder={str(rung): at for rung, at in rungs.items()},
            thresholds=dict(thresholds.detectors),
            judges=judges,
            attacked=[_attacked(recording) for recording in recordings],
            **told._asdict(),
            alarms=alarms,
            honest_worst={name: [day.worst[name] for day in days] for name in days[0].worst},
            cost=cost,
            seconds=self._seconds,
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._tell(name)
        started = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - started, 1)

    def _told(self, what: str, found: Iterator[T], count: int) -> list[T]:
        all_found = []
        for one in found:
            all_found.append(one)
            self._tell(f"{what}: {len(all_found)} of {count}")
        return all_found


def honest_days(world: World, share: float, seed: int, judges: Sequence[Judge]) -> list[Day]:
    """Honest principal-days of all families, each family's number times `share`, and what judges say of them."""
    honest = Honest(world, _sketcher(seed), seed)
    items: list[tuple[Family, int, int]] = []
    for family in FAMILIES:
        days = max(ceil(family.days * share), 4)
        items += [(family, first, min(_CHUNK, days - first)) for first in range(0, days, _CHUNK)]

    def work(item: tuple[Family, int, int]) -> list[Day]:
        family, first, days = item
        return list(judge_family(honest, family, first, days, judges))

    return [day for found in spread(work, items) for day in found]


def _bank(honest: Honest, principals: int, step: float, name: str) -> list[list[Call]]:
    family = next(family for family in FAMILIES if family.name == name)
    return honest_bank(honest, family, range(principals), step)


def _sketcher(seed: int) -> Sketcher:
    return Sketcher(Key(seed.to_bytes(32, "big")))


def baseline_thresholds() -> dict[str, float]:
    """The thresholds of the judges that the product is compared with, as `calibrate` wrote them."""
    found: dict[str, float] = json.loads(BASELINE_FILE.read_text(encoding="utf-8"))
    return found


def _ladder(rule: DetectionRule) -> Ladder:
    return Ladder(tuple((str(rung), at) for rung, at in rule.ladder.rungs))


def _attacked(recording: Recording) -> Attacked:
    leaving, five = Leaving(recording.records), None
    for at, one in enumerate(recording.seen, start=1):
        leaving.add(one)
        if five is None and leaving.gone.records >= _BOUND:
            five = at
    recovered = recording.calls_to(RECOVERED) if recording.goal == "vector" else None
    gone = leaving.gone
    return Attacked(recording.name, recording.goal, len(recording.seen), gone.records, gone.vectors, five, recovered)
