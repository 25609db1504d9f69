"""Rates over several processes: exact together, and what follows when the store is away."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest
from redis_server import RedisServer, redis_server
from state.stores import connection, provider

from vecguard.access.shared_rates import SharedRates
from vecguard.errors import RateExceeded, Unavailable
from vecguard.model import Allowance, Principal
from vecguard.policy.access import Rate

ANN, BOB = Principal("ann"), Principal("bob")
CALLS = [Allowance("r", Rate(calls_per_s=1e-6, burst_calls=30))]
RECORDS = [Allowance("r", Rate(records_per_s=0.1, burst_records=100))]


async def admitted(rates: SharedRates, principal: Principal, held: list[Allowance], times: int) -> int:
    """How many of so many calls are admitted."""

    async def once() -> bool:
        try:
            await rates.admit(principal, held)
        except RateExceeded:
            return False
        return True

    return sum(await asyncio.gather(*(once() for _ in range(times))))


def test_processes_share_buckets(redis: RedisServer, tmp_path: Path) -> None:
    async def run() -> tuple[list[int], int]:
        held, prefix = provider(tmp_path), f"t{secrets.token_hex(6)}"
        opened = [connection(redis, held, prefix=prefix, timeout_s=5) for _ in range(3)]
        rates = [SharedRates(each) for each in opened]
        counts = await asyncio.gather(*(admitted(each, ANN, CALLS, 20) for each in rates))
        other = await admitted(rates[0], BOB, CALLS, 20)
        for each in opened:
            await each.close()
        return counts, other

    counts, other = asyncio.run(run())
    assert sum(counts) == 30
    assert other == 20


def test_a_debt_in_one_process_is_waited_for_in_another(redis: RedisServer, tmp_path: Path) -> None:
    async def run() -> int:
        held, prefix = provider(tmp_path), f"t{secrets.token_hex(6)}"
        one, two = (connection(redis, held, prefix=prefix) for _ in range(2))
        await SharedRates(one).admit(ANN, RECORDS)
        await SharedRates(one).charge(ANN, RECORDS, 150)
        with pytest.raises(RateExceeded) as refused:
            await SharedRates(two).admit(ANN, RECORDS)
        await one.close()
        await two.close()
        return refused.value.retry_after_s

    assert 440 <= asyncio.run(run()) <= 500  # 50 records, less what passed meanwhile


@pytest.mark.parametrize("fail", ["closed", "local"])
def test_a_store_that_is_away(tmp_path: Path, fail: str) -> None:
    async def run(server: RedisServer) -> list[int]:
        opened = connection(server, provider(tmp_path), fail=fail)
        rates = SharedRates(opened)
        counts = [await admitted(rates, ANN, CALLS, 10)]
        server.stop()
        await rates.admit(BOB, [])  # who has no rate does not need the store
        if fail == "closed":
            with pytest.raises(Unavailable):
                await rates.admit(ANN, CALLS)
        else:
            counts.append(await admitted(rates, ANN, CALLS, 50))  # a burst of this process' own
        back = asyncio.Event()
        opened.returned = back.set
        server.start()
        async with asyncio.timeout(60):
            await back.wait()
        counts.append(await admitted(rates, ANN, CALLS, 50))
        await opened.close()
        return counts

    with redis_server(tmp_path / "redis") as server:
        assert asyncio.run(run(server)) == ([10, 20] if fail == "closed" else [10, 30, 20])
