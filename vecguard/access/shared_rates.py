"""Rates of principals over all processes that share a store: the same buckets as in one process, kept there."""

from __future__ import annotations

from collections.abc import Sequence

from vecguard.access.rates import LocalRates, refusal
from vecguard.errors import Unavailable
from vecguard.model import Allowance, Principal
from vecguard.state.buckets import DEBT, Draw, draw
from vecguard.state.connection import Connection


class SharedRates:
    """`Rates` behind a connection. While the store is away they are refused or kept here, as its settings say."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._here = LocalRates() if connection.settings.fail == "local" else None

    async def admit(self, principal: Principal, allowances: Sequence[Allowance]) -> None:
        """See `Rates`. Principals without a rate cost nothing."""
        try:
            waits = await draw(self._connection, _calls(principal, allowances))
        except Unavailable:
            if self._here is None:
                raise
            await self._here.admit(principal, allowances)
            return
        if any(waits):
            raise refusal(principal, max(waits))

    async def charge(self, principal: Principal, allowances: Sequence[Allowance], records: int) -> None:
        """See `Rates`."""
        try:
            await draw(self._connection, _records(principal, allowances, records))
        except Unavailable:
            if self._here is None:
                raise
            await self._here.charge(principal, allowances, records)


def _calls(principal: Principal, allowances: Sequence[Allowance]) -> list[Draw]:
    """A token for the call, and buckets of records without debt."""
    draws: list[Draw] = []
    for allowance in allowances:
        rate = allowance.rate
        if rate.calls_per_s is not None:
            draws.append(Draw(_place(principal, allowance, "calls"), rate.calls_per_s, rate.burst_calls, 1, 1))
        if rate.records_per_s is not None:
            draws.append(Draw(_place(principal, allowance, "records"), rate.records_per_s, rate.burst_records, 0, 0))
    return draws


def _records(principal: Principal, allowances: Sequence[Allowance], records: int) -> list[Draw]:
    if not records:
        return []
    return [
        Draw(_place(principal, one, "records"), one.rate.records_per_s, one.rate.burst_records, records, DEBT)
        for one in allowances
        if one.rate.records_per_s is not None
    ]


def _place(principal: Principal, allowance: Allowance, what: str) -> tuple[str, ...]:
    return ("rate", principal.kind, principal.name, allowance.role, what)
