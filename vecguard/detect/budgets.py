"""What an answer takes of the budgets of its collection: drawn on all or none."""

from __future__ import annotations

from typing import Final

from vecguard.detect.observation import Observation
from vecguard.detect.store import Spend, Store
from vecguard.policy.detection import HOUR_S, DetectionRule

_PERIODS: Final = {HOUR_S: "hour"}


async def drawn(store: Store, one: Observation, rule: DetectionRule, now: float) -> tuple[float, str]:
    """Draw what a call's answer holds on the budgets that it has; `now` in seconds since 1970.

    Seconds until all of them have that much, and the name of the one that takes longest; 0.0 where they were drawn on.

    Raises:
        Unavailable: the store cannot be reached.
    """
    # Distinct ids first: that they are counted again when the caller comes back changes nothing.
    wait, bucket = await _distinct(store, one, rule, now) if len(one.ids) else (0.0, "")
    if not wait:
        wait, bucket = await _spent(store, one, rule)
    what, _, period = bucket.partition("/")
    return (wait, f"{what}_per_{_PERIODS.get(int(period), 'day')}") if wait else (0.0, "")


async def _spent(store: Store, one: Observation, rule: DetectionRule) -> tuple[float, str]:
    """Seconds until the token buckets could be drawn on, and the name of the one that takes longest."""
    amounts = {"records": len(one.ids), "vectors": len(one.vector_ids)}
    spends = [
        Spend(f"{what}/{period}", capacity, period, amounts[what])
        for what, capacity, period in rule.budgets.buckets
        if amounts[what]
    ]
    waits = await store.spend((one.principal, one.collection), spends) if spends else []
    return max(((wait, spend.bucket) for wait, spend in zip(waits, spends, strict=True)), default=(0.0, ""))


async def _distinct(store: Store, one: Observation, rule: DetectionRule, now: float) -> tuple[float, str]:
    """Seconds until the period ends in which more distinct ids would be seen than may, and that budget's name."""
    hashes = one.ids.tolist()
    for most, period in rule.budgets.distinct:
        name = f"distinct_ids/{period}"
        if await store.count_distinct((one.principal, one.collection), name, period, hashes, most) > most:
            return period - now % period, name
    return 0.0, ""
