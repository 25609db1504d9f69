"""The `detection` section of a collection's policy: what is watched for, and how what is found is answered."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from vecguard.model import Shape
from vecguard.policy.entry import PolicyEntry
from vecguard.policy.faults import Fault, raise_if_any
from vecguard.policy.retention import Period, period_seconds
from vecguard.registry import DETECTORS

Rung = Literal["log", "alert", "slow", "degrade", "block"]
LEAST_ANSWER: Final = 250
"""Records whose content one answer may always hold: a page of a demo, or of an export of a small collection."""
RUNGS: Final[tuple[Rung, ...]] = ("log", "alert", "slow", "degrade", "block")
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
MOST_CANARIES: Final = 256

Threshold = Annotated[
    Annotated[float, Field(gt=0, le=1e6), Tag("number")] | Annotated[Literal["off"], Tag("off")],
    Discriminator(lambda value: "off" if isinstance(value, str) else "number"),
]


class Ladder(PolicyEntry):
    """From which risk on a principal is answered how. A risk of 1 is what benign traffic reaches once in the budget of
    false positives (docs/detection.md); `off` leaves a rung out."""

    log: Threshold = Field(default=0.5, description="The trail tells of it.")
    alert: Threshold = Field(default=0.8, description="Operators are told.")
    slow: Threshold = Field(default=0.9, description="Each call waits `slow_ms` before it is served.")
    degrade: Threshold = Field(default=1.0, description="Answers have the form that `degraded` says.")
    block: Threshold = Field(default=1.15, description="Calls are refused for `block_for`.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        faults, before = [], ("", 0.0)
        for rung, threshold in self.rungs:
            if threshold <= before[1]:
                text = f"must be above `{before[0]}` ({before[1]:g}): a ladder is climbed rung by rung"
                faults.append(Fault((rung,), text))
            before = (rung, threshold)
        raise_if_any(faults)
        return self

    @cached_property
    def rungs(self) -> tuple[tuple[Rung, float], ...]:
        """The rungs that there are, from the lowest, and the risk from which on each holds."""
        given: Iterator[tuple[Rung, Any]] = ((rung, getattr(self, rung)) for rung in RUNGS)
        return tuple((rung, threshold) for rung, threshold in given if threshold != "off")

    def rung(self, risk: float) -> Rung | None:
        """The highest rung that a risk reaches; None below all."""
        reached: Rung | None = None
        for rung, threshold in self.rungs:
            if risk < threshold:
                break
            reached = rung
        return reached


class Degraded(PolicyEntry):
    """The form of answers from the rung `degrade` on, where the caller's role does not have a stricter one."""

    vectors: Literal["exact", "protected", "deny"] = Field(
        default="deny", description="As `return_vectors` of a role; deny: a call that asks for vectors is refused."
    )
    scores: Literal["exact", "rounded", "hidden"] = Field(default="rounded", description="As `scores` of a role.")
    score_decimals: int = Field(default=2, ge=0, le=6, description="Decimals of rounded scores.")
    max_limit: int | None = Field(
        default=10, ge=1, le=1_000_000, description="As in `limits`: a call that asks for more is refused."
    )

    @cached_property
    def shape(self) -> Shape:
        """The form as a role has it."""
        return Shape(self.vectors, self.scores, self.score_decimals if self.scores == "rounded" else 6)

    @property
    def changes_nothing(self) -> bool:
        """Whether answers of this form are those of an ordinary role."""
        return self.vectors == self.scores == "exact" and self.max_limit is None


class Budgets(PolicyEntry):
    """What may leave a collection for one principal in a time, counted before an answer leaves.

    Records and vectors are drawn from token buckets that are full at first and fill up again evenly within their hour
    or day. Distinct ids are counted exactly within each hour or day (UTC).
    """

    records_per_hour: int | None = Field(default=None, ge=1, le=10**12, description="Records in answers, an hour.")
    records_per_day: int | None = Field(default=None, ge=1, le=10**12, description="Records in answers, a day.")
    vectors_per_hour: int | None = Field(default=None, ge=1, le=10**12, description="Vectors in answers, an hour.")
    vectors_per_day: int | None = Field(default=None, ge=1, le=10**12, description="Vectors in answers, a day.")
    distinct_ids_per_hour: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Different records in answers, an hour."
    )
    distinct_ids_per_day: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Different records in answers, a day."
    )

    @model_validator(mode="after")
    def _hours_fit_days(self) -> Self:
        faults = []
        for what in ("records", "vectors", "distinct_ids"):
            hour, day = getattr(self, f"{what}_per_hour"), getattr(self, f"{what}_per_day")
            if hour is not None and day is not None and hour > day:
                text = f"is more than {what}_per_day ({day}), so it never counts: lower it, or remove it"
                faults.append(Fault((f"{what}_per_hour",), text))
        raise_if_any(faults)
        return self

    @cached_property
    def buckets(self) -> tuple[tuple[Literal["records", "vectors"], int, int], ...]:
        """What is drawn on: of what, capacity, and the seconds in which it fills up."""
        given: list[tuple[Literal["records", "vectors"], int | None, int]] = [
            ("records", self.records_per_hour, HOUR_S),
            ("records", self.records_per_day, DAY_S),
            ("vectors", self.vectors_per_hour, HOUR_S),
            ("vectors", self.vectors_per_day, DAY_S),
        ]
        return tuple((what, capacity, period) for what, capacity, period in given if capacity is not None)

    @cached_property
    def distinct(self) -> tuple[tuple[int, int], ...]:
        """Bounds on distinct ids: how many, in how many seconds."""
        given = ((self.distinct_ids_per_hour, HOUR_S), (self.distinct_ids_per_day, DAY_S))
        return tuple((most, period) for most, period in given if most is not None)

    def __bool__(self) -> bool:
        return bool(self.buckets or self.distinct)


class DetectionRule(PolicyEntry):
    """Whether and how extraction is looked for in one collection's calls, by principal."""

    mode: Literal["off", "observe", "enforce"] = Field(
        default="observe",
        description="off: calls are not looked at. observe: nothing changes for callers; the trail says what would "
        "have happened. enforce: the ladder and the budgets hold.",
    )
    ladder: Ladder = Field(default_factory=Ladder, description="Risks from which on a principal is answered how.")
    slow_ms: int = Field(default=1_000, ge=1, le=60_000, description="Milliseconds that a call waits on `slow`.")
    degraded: Degraded = Field(default_factory=Degraded, description="The form of answers on `degrade`.")
    block_for: Period = Field(default="15m", description="How long `block` lasts: a whole number and s, m, h, d or w.")
    block_with: Literal["exhausted", "denied"] = Field(
        default="exhausted",
        description="The status of refused calls: RESOURCE_EXHAUSTED or PERMISSION_DENIED, with `retry-after`.",
    )
    budgets: Budgets = Field(default_factory=Budgets, description="What may leave for one principal in a time.")
    largest_answer: float | None = Field(
        default=0.03,
        gt=0,
        le=1,
        description="With `enforce`, the share of the collection's records whose content (payload or vectors) one "
        "answer may hold; 250 records are never too many. A larger answer is refused: it would be gone before it is "
        "judged. null: any number.",
    )
    linking: Literal["off", "observe"] = Field(
        default="observe",
        description="Whether the calls of all callers are also looked at together, for extraction that is dealt to "
        "many accounts. observe: operators are told; nobody is answered differently for it.",
    )
    adapt: bool = Field(
        default=True,
        description="Whether the detector `crawl` is stricter where what the collection's own callers usually ask "
        "allows it, within a bound (docs/detectors.md). false: it is as strict as it was calibrated to be.",
    )
    canaries: int = Field(
        default=0,
        ge=0,
        le=MOST_CANARIES,
        description="How many records `vecguard canaries plant` plants in the collection: no answer holds them, and "
        "who meets many of them, or asks for one by its id, is told of. They need one dense vector that can be "
        "recovered, and ids that are random (UUIDs of version 4 or 5, or `ids: encrypted`).",
    )
    detectors: dict[str, bool] = Field(
        default_factory=dict, description="Detectors to switch off or on, by name; those left out are on."
    )

    @field_validator("detectors")
    @classmethod
    def _known(cls, switches: dict[str, bool]) -> dict[str, bool]:
        known = ", ".join(DETECTORS.kinds)
        raise_if_any([Fault((n,), f"is no detector; there are: {known}") for n in switches if n not in DETECTORS.kinds])
        return switches

    @model_validator(mode="after")
    def _has_use(self) -> Self:
        faults = []
        if self.mode == "off":
            text = "`mode: off` looks at no call, so there is nothing to rule here: remove one or the other"
            faults += [Fault((name,), text) for name in sorted(self.model_fields_set - {"mode"})]
        elif self.ladder.degrade != "off" and self.degraded.changes_nothing:
            text = "changes nothing on the rung `degrade`: say what it shall, or `degrade: off` in `ladder`"
            faults.append(Fault(("degraded",), text))
        raise_if_any(faults)
        return self

    @property
    def watches(self) -> bool:
        """Whether calls are looked at."""
        return self.mode != "off"

    @property
    def enforces(self) -> bool:
        """Whether callers notice."""
        return self.mode == "enforce"

    @property
    def bounds_answers(self) -> bool:
        """Whether an answer is refused that is much of its collection."""
        return self.enforces and self.largest_answer is not None

    @cached_property
    def block_s(self) -> int:
        """How long a block lasts, in seconds."""
        return period_seconds(self.block_for)

    def uses(self, detector: str) -> bool:
        """Whether a detector is on."""
        return self.detectors.get(detector, True)
