"""One answer that is much of a collection: what it holds would be gone before detection could judge it.

Where a collection's detection enforces, an answer with the content (payload or vectors) of more than a share of the
records is refused instead of given, and the caller told to ask for fewer at a time. Asked for page by page, the same
records come by `enumeration` and the other detectors.
"""

from __future__ import annotations

from collections.abc import Set

from vecguard.detect.answers import ASSUMED_RECORDS, CONTENT
from vecguard.detect.observation import Leaving, Observation
from vecguard.errors import LimitExceeded
from vecguard.policy.detection import LEAST_ANSWER, DetectionRule


def most_in_one(share: float, records: int) -> int:
    """How many records' content one answer may hold, of a collection of so many; 0: nobody knows."""
    return max(LEAST_ANSWER, int(share * (records or ASSUMED_RECORDS)))


def sure_of(rule: DetectionRule, records: int) -> int:
    """How many records an answer may show whatever it holds of them; `records` of the collection, 0: nobody knows."""
    if rule.largest_answer is None or not records:
        return LEAST_ANSWER
    return most_in_one(rule.largest_answer, records)


def too_large(rule: DetectionRule, left: Set[Leaving], count: int, records: int) -> bool:
    """Whether an answer with `count` different records of a collection's `records` is more than one may hold, `left`
    saying what of them leaves with it."""
    share = rule.largest_answer
    return share is not None and not left.isdisjoint(CONTENT) and count > most_in_one(share, records)


def observed_too_large(rule: DetectionRule, one: Observation) -> bool:
    """The same of an answer that was observed."""
    return too_large(rule, one.left, len({*one.ids.tolist(), *one.vector_ids.tolist()}), one.records)


def require_small(collection: str, rule: DetectionRule, left: Set[Leaving], count: int, records: int) -> None:
    """Refuse an answer that is too large, where the collection's policy enforces.

    Raises:
        LimitExceeded: it is.
    """
    if rule.enforces and rule.largest_answer is not None and too_large(rule, left, count, records):
        most = most_in_one(rule.largest_answer, records)
        raise LimitExceeded(
            f"{count:,} records of `{collection}` in one answer: the policy's `detection.largest_answer` allows "
            f"{most:,}; ask for fewer at a time"
        )
