"""How long a call spends in which stage: a clock a call, which the stages of its path start and stop.

A stage that runs several times at once (pages asked for side by side) is counted once: its time is what passed while
any of it ran. Code that runs outside a call is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from time import monotonic
from typing import Final, Literal, NamedTuple, ParamSpec, TypeVar, get_args

Stage = Literal["auth", "protect", "upstream", "open", "rerank", "detect"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

# Intervals beyond these are added to their stage's time, but not kept one by one.
_MOST_INTERVALS: Final = 64
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


class Interval(NamedTuple):
    """A stretch of time in one stage; `start` and `end` in seconds of `time.monotonic`."""

    stage: Stage
    start: float
    end: float


class Clock:
    """The stages of one call. `started` is when the call came, in seconds of `time.monotonic`."""

    __slots__ = ("_open", "_since", "intervals", "parent", "seconds", "started")

    def __init__(self, parent: str | None = None) -> None:
        """`parent` is the client's W3C trace context (the `traceparent` of its metadata), if it sent one."""
        self.started = monotonic()
        self.parent = parent
        self.seconds: dict[Stage, float] = {}
        self.intervals: list[Interval] = []
        self._open: dict[Stage, int] = {}
        self._since: dict[Stage, float] = {}

    def enter(self, stage: Stage) -> None:
        """The stage begins (or begins once more, beside itself)."""
        depth = self._open.get(stage, 0)
        self._open[stage] = depth + 1
        if depth == 0:
            self._since[stage] = monotonic()

    def leave(self, stage: Stage) -> None:
        """The stage ends, as often as it began."""
        self._open[stage] -= 1
        if self._open[stage] == 0:
            since, now = self._since[stage], monotonic()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
            if len(self.intervals) < _MOST_INTERVALS:
                self.intervals.append(Interval(stage, since, now))

    @property
    def milliseconds(self) -> Mapping[Stage, float]:
        """Time in each stage that ran, in milliseconds."""
        return {stage: in_milliseconds(seconds) for stage, seconds in self.seconds.items()}


def in_milliseconds(seconds: float) -> float:
    """Milliseconds with three decimals. `round` to decimals goes through a text, which costs ten times as much."""
    return int(seconds * 1e6 + 0.5) / 1e3


_clock: ContextVar[Clock | None] = ContextVar("vecguard.stages", default=None)


def begin(parent: str | None = None) -> Clock:
    """A new clock for the call that the running task serves, and for what that task starts."""
    clock = Clock(parent)
    _clock.set(clock)
    return clock


def current() -> Clock | None:
    """The clock of the call that is being served; None outside of calls."""
    return _clock.get()


class _Counted:
    """A block that is counted to a stage. It holds nothing of a call, so one serves all: calls make no new objects."""

    __slots__ = ("_name",)

    def __init__(self, name: Stage) -> None:
        self._name = name

    def __enter__(self) -> None:
        clock = _clock.get()
        if clock is not None:
            clock.enter(self._name)

    def __exit__(self, *_: object) -> None:
        clock = _clock.get()
        if clock is not None:
            clock.leave(self._name)


_COUNTED: Final = {name: _Counted(name) for name in STAGES}


def stage(name: Stage) -> _Counted:
    """Count what runs in a block (`with stage("auth"):`) to a stage of the call that is being served."""
    return _COUNTED[name]


def timed(name: Stage) -> Callable[[Callable[_Args, _Result]], Callable[_Args, _Result]]:
    """A function (not a coroutine) whose run is counted to a stage of the call that is being served."""

    def around(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
        @wraps(function)
        def counted(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
            clock = _clock.get()
            if clock is None:
                return function(*args, **kwargs)
            clock.enter(name)
            try:
                return function(*args, **kwargs)
            finally:
                clock.leave(name)

        return counted

    return around
