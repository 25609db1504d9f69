"""What is usual on a collection: how its own callers' questions look to `crawl`, and how strict that may be there.

What is odd in one collection is ordinary in another. `crawl` is fitted on questions to paragraphs; where a collection's
callers ask nearer to its records than that, it can be stricter and leave them alone. How much, they say themselves. A
sum S of drifts x with E e^(theta x) <= 1 ever reaches h with a probability of e^(-theta h) at most (Lundberg 1903; Wald
1945). With h the threshold of `crawl` and theta = log(K / b) / h, that is its share b / K of the budget of false
positives, for a budget b and K detectors. So each caller p has, for each step d of `crawl.STEPS`, the mean

    G_p(d) = mean of e^(theta x_d) over its questions, x_d being what each would add to S with d added to z

and the collection has the largest step d, 0 where there is none, for which, and for all smaller ones,

    (sum' G_p(d) + PRIOR G_0(d)) / (n' + PRIOR) <= 1

over the latest `CALLERS` callers, each once, whatever it asked, but without the quarter of the lowest; n' is how many
these are, and G_0 are the means on SQuAD, where no step is allowed. Of fewer than `LEAST_CALLERS` nothing is learned.
Nobody makes `crawl` more lenient than it is where nobody is known, and it gets stricter by the last step at most: for
that more than a quarter of the callers have to ask in an unusual way. Callers that stand on the ladder, and whom an
operator pinned, do not count.

The callers of a collection are remembered as hashes of their names in a profile named `USUAL_QUESTIONS`, so that they
are kept, shared and forgotten (`pardon`) as other states are. They are brought up to date once in `REFRESH_S`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from vecguard.detect.detector import Detector, State
from vecguard.detect.detectors import crawl
from vecguard.detect.state import doubles, hashes
from vecguard.detect.store import Key, Profile, Store
from vecguard.policy.detection import DetectionRule

USUAL_QUESTIONS: Final = "<usual questions>"
CALLERS: Final = 128
MOST_BYTES: Final = CALLERS * (16 + 8 * len(crawl.STEPS))
PRIOR: Final = 16
LEAST_CALLERS: Final = 16
PRIOR_MEANS: Final = np.array([1.13, 1.23, 1.33, 1.43])
"""G_0: of 89 honest principals on 5,000 passages of SQuAD; without a step it is 1.03."""
HIGHEST: Final = 2.0
"""A caller's mean counts no higher: by itself it undoes no more than it has to."""
LOWEST: Final = 0.25
REFRESH_S: Final = 60.0
_NAME: Final = "usual"
_MOST_COLLECTIONS: Final = 10_000


def fresh() -> State:
    """Nobody asked yet: `callers`, hashes of their names, `means`, their G, `at`, when that was (0: a free place)."""
    means = np.zeros((CALLERS, len(crawl.STEPS)))
    return {"callers": np.zeros(CALLERS, np.uint64), "means": means, "at": np.zeros(CALLERS)}


def take(state: State, caller: int, means: Sequence[float] | None, time: float) -> None:
    """Take a caller's G as of `time`, in the place of what was known of it, or of who was away longest; None: it does
    not count any more. `caller` is the hash of its name."""
    at = doubles(state, "at")
    place = np.flatnonzero((hashes(state, "callers") == np.uint64(caller)) & (at > 0))
    if means is None:
        at[place] = 0.0
        return
    here = int(place[0]) if place.size else int(at.argmin())
    hashes(state, "callers")[here] = caller
    doubles(state, "means")[here], at[here] = np.minimum(means, HIGHEST), max(time, 1.0)


def strictness(state: State) -> float:
    """What `crawl` adds to z here: the module's d."""
    means = np.sort(doubles(state, "means")[doubles(state, "at") > 0], axis=0)
    if len(means) < LEAST_CALLERS:
        return 0.0
    counted = means[int(LOWEST * len(means)) :]
    allowed = (counted.sum(axis=0) + PRIOR * PRIOR_MEANS) / (len(counted) + PRIOR) <= 1
    steps = int(np.argmin([*allowed, False]))
    return crawl.STEPS[steps - 1] if steps else 0.0


class Usual:
    """Keeps what is usual on each collection, and has `crawl` as strict as that allows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # strictness, and when it is read again
        self._waiting: dict[str, OrderedDict[str, Sequence[float] | None]] = {}

    def fitted(self, collection: str, detectors: Mapping[str, Detector], rule: DetectionRule) -> Mapping[str, Detector]:
        """The detectors as they are for a collection."""
        stricter, _ = self._known.get(collection, (0.0, 0.0))
        found = detectors.get(crawl.NAME)
        if not stricter or not rule.adapt or not isinstance(found, crawl.Crawl):
            return detectors
        return {**detectors, crawl.NAME: found.stricter(stricter)}

    def note(self, key: Key, profile: Profile, rule: DetectionRule) -> None:
        """Hear where a caller stands after its calls."""
        state, ladder = profile.states.get(crawl.NAME), rule.ladder.rungs
        counts = profile.pinned is None and not (ladder and profile.risk >= ladder[0][1])
        means = crawl.typical(state) if counts and state is not None else None
        if counts and means is None:
            return
        waiting = self._waiting.setdefault(key[1], OrderedDict())
        waiting[key[0]] = means
        waiting.move_to_end(key[0])
        if len(waiting) > CALLERS:
            waiting.popitem(last=False)

    async def settle(self, collection: str, now: float) -> None:
        """Bring what is known of a collection up to date, where it is time. Raises Unavailable."""
        _, due = self._known.get(collection, (0.0, 0.0))
        if now < due:
            return
        heard = {_hash(name): means for name, means in self._waiting.get(collection, {}).items()}

        def change(profile: Profile) -> None:
            state = profile.states.get(_NAME)
            if state is None or not _whole(state):
                state = profile.states[_NAME] = fresh()
            for caller, means in heard.items():
                take(state, caller, means, now)

        profile = await self._store.change((USUAL_QUESTIONS, collection), change)
        self._waiting.pop(collection, None)
        self._known.pop(collection, None)
        self._known[collection] = (strictness(profile.states[_NAME]), now + REFRESH_S)
        while len(self._known) > _MOST_COLLECTIONS:
            self._waiting.pop(self._known.popitem(last=False)[0], None)


def is_caller(key: Key, profile: Profile) -> bool:
    """Whether a profile is that of a caller, or of callers together, and not of what is usual."""
    return key[0] != USUAL_QUESTIONS or profile.at > 0


def _whole(state: State) -> bool:
    """Whether a stored state is of this release."""
    return {name: (one.shape, one.dtype) for name, one in state.items()} == _FORM


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_FORM: Final = {name: (one.shape, one.dtype) for name, one in fresh().items()}
