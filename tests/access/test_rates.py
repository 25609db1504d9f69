"""Token buckets, on a clock of the test's own."""

import asyncio
from collections.abc import Sequence

import pytest

from vecguard.access.rates import LocalRates
from vecguard.errors import RateExceeded
from vecguard.model import Allowance, Principal
from vecguard.policy.access import Rate

ANN, BOB = Principal("ann"), Principal("bob")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Rates:
    """The buckets, asked from outside of an event loop."""

    def __init__(self, clock: Clock) -> None:
        self._rates = LocalRates(clock)

    def admit(self, principal: Principal, held: Sequence[Allowance]) -> None:
        asyncio.run(self._rates.admit(principal, held))

    def charge(self, principal: Principal, held: Sequence[Allowance], records: int) -> None:
        asyncio.run(self._rates.charge(principal, held, records))


def test_calls_up_to_the_burst_then_as_the_bucket_fills() -> None:
    clock = Clock()
    rates, held = Rates(clock), [Allowance("r", Rate(calls_per_s=2.0, burst_calls=3))]
    for _ in range(3):
        rates.admit(ANN, held)
    with pytest.raises(RateExceeded) as refused:
        rates.admit(ANN, held)
    assert refused.value.retry_after_s == 1
    assert refused.value.trailing == (("retry-after", "1"),)
    rates.admit(BOB, held)  # a bucket each
    clock.now += 0.5
    rates.admit(ANN, held)
    with pytest.raises(RateExceeded):
        rates.admit(ANN, held)


def test_records_may_leave_a_debt_that_the_next_call_waits_for() -> None:
    clock = Clock()
    rates, held = Rates(clock), [Allowance("r", Rate(records_per_s=10.0, burst_records=100))]
    rates.admit(ANN, held)
    rates.charge(ANN, held, 150)
    with pytest.raises(RateExceeded) as refused:
        rates.admit(ANN, held)
    assert refused.value.retry_after_s == 5
    clock.now += 5.1
    rates.admit(ANN, held)


def test_of_several_roles_the_strictest_rate_holds_and_a_refused_call_takes_nothing() -> None:
    clock = Clock()
    wide, narrow = (
        Allowance("wide", Rate(calls_per_s=1.0, burst_calls=2)),
        Allowance("narrow", Rate(calls_per_s=1.0, burst_calls=1)),
    )
    rates = Rates(clock)
    rates.admit(ANN, [wide, narrow])
    with pytest.raises(RateExceeded):
        rates.admit(ANN, [wide, narrow])
    rates.admit(ANN, [wide])  # its second token is still there


def test_without_a_rate_nothing_is_held_back() -> None:
    rates = Rates(Clock())
    for _ in range(100):
        rates.admit(ANN, [])
