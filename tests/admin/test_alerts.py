"""The control plane keeps the latest alerts of each kind, and hands them out in the order in which they came."""

from __future__ import annotations

import asyncio

from vecguard.admin.alerts import KEPT, Alerts
from vecguard.v1 import admin_pb2 as v1


def latest(alerts: Alerts, count: int) -> list[str]:
    """The ids of the calls of what a new watcher is given."""

    async def run() -> list[str]:
        watching = alerts.watch(count)
        found = [(await anext(watching)).request_id for _ in range(count)]
        await watching.aclose()
        return found

    return asyncio.run(run())


def test_the_latest_come_in_their_order_whatever_their_kind() -> None:
    alerts = Alerts()
    for number in range(6):
        alerts.add(v1.Alert(kind="DETECTION" if number % 3 else "BLOCKED_CALL", request_id=str(number)))
    assert latest(alerts, 6) == ["0", "1", "2", "3", "4", "5"]
    assert latest(alerts, 5) == ["0", "2", "3", "4", "5"]


def test_many_of_one_kind_leave_another_there() -> None:
    alerts = Alerts()
    alerts.add(v1.Alert(kind="DETECTION", request_id="found"))
    for number in range(5 * KEPT):
        alerts.add(v1.Alert(kind="BLOCKED_CALL", request_id=str(number)))
    assert latest(alerts, 4) == ["found", "4997", "4998", "4999"]
    assert sum(map(len, alerts._latest.values())) == KEPT + 1
