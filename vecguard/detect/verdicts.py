"""The latest word on each principal: what the hot path reads, a dictionary look-up a call."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from vecguard.detect.risk import decayed
from vecguard.detect.store import Key, Profile
from vecguard.policy.detection import DetectionRule, Rung

_MOST: Final = 100_000
_MOST_CHANGED: Final = 10_000
# Below the lowest risk that a policy can answer: not worth remembering here.
_NEGLIGIBLE: Final = 1e-3


class Verdict(NamedTuple):
    """A principal's risk on a collection as of `at`, in seconds since 1970, as `blocked_until` is."""

    risk: float
    at: float
    blocked_until: float
    pinned: bool

    def rung(self, rule: DetectionRule, now: float) -> Rung | None:
        """The rung on which calls are answered now.

        A block has an end: after it, calls are on the rung below until a call that is served brings the risk back.
        """
        if self.blocked_until > now:
            return "block"
        rung = rule.ladder.rung(self.risk if self.pinned else decayed(self.risk, now - self.at))
        if rung != "block" or self.pinned:
            return rung
        below = [name for name, _ in rule.ladder.rungs if name != "block"]
        return below[-1] if below else None

    def seconds_left(self, rule: DetectionRule, now: float) -> int:
        """For how long a block holds, whole seconds of at least 1."""
        left = self.blocked_until - now if self.blocked_until > now else float(rule.block_s)
        return max(math.ceil(left), 1)


class Verdicts:
    """Verdicts by principal and collection, of those whose risk is worth it."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Verdict] = OrderedDict()
        self._changed: dict[Key, None] = {}

    def of(self, key: Key) -> Verdict | None:
        """The verdict on a principal; None for one without risk."""
        return self._known.get(key)

    def publish(self, key: Key, profile: Profile) -> None:
        """Take what is remembered of a principal now."""
        if len(self._changed) < _MOST_CHANGED:
            self._changed[key] = None
        self._known.pop(key, None)
        if profile.pinned is not None:
            self._known[key] = Verdict(profile.pinned, profile.at, profile.blocked_until, pinned=True)
        elif profile.risk > _NEGLIGIBLE or profile.blocked_until > profile.at:
            self._known[key] = Verdict(profile.risk, profile.at, profile.blocked_until, pinned=False)
        self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        """Hold the bound; what an operator pinned stays, as no risk brings it back."""
        for _ in range(len(self._known)):
            if len(self._known) <= _MOST:
                return
            key, verdict = self._known.popitem(last=False)
            if verdict.pinned:
                self._known[key] = verdict

    def changed(self, most: int) -> list[Key]:
        """Some of those that were published since they were last asked for here, the first first."""
        taken = list(self._changed)[:most]
        for key in taken:
            del self._changed[key]
        return taken

    def again(self, keys: Sequence[Key]) -> None:
        """Have these asked for again."""
        self._changed = {**dict.fromkeys(keys), **self._changed}
