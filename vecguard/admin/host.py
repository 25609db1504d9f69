"""The control plane's life: what it needs is opened, it listens, hears the workers, and tells of health."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from vecguard.admin.alerts import Alerts, alert_of
from vecguard.admin.job_service import JobService
from vecguard.admin.listener import AdminListener
from vecguard.admin.risks import InStore, InWorkers, RiskService
from vecguard.admin.service import AdminService, Database, Fleet, Told
from vecguard.blocks import Blocks
from vecguard.catalog import Catalog
from vecguard.config import AdminSettings, Settings
from vecguard.detect.acts import FILE as ACTS
from vecguard.detect.acts import Acts
from vecguard.errors import Unreadable
from vecguard.generation import Generation
from vecguard.keys.lease import LeasingProvider
from vecguard.policy.load import PolicyHolder
from vecguard.registry import FRONTS
from vecguard.remembering import memory_in, open_state
from vecguard.state.settings import StateSettings
from vecguard.telling import BLOCKS, SOCKET, receive
from vecguard.upkeep.told import operator_trail
from vecguard.wiring import connect

_WATCH_S: Final = 1.0


@contextlib.asynccontextmanager
async def controlled(
    settings: Settings,
    admin: AdminSettings,
    targets: Mapping[str, str],
    policy: PolicyHolder,
    provider: LeasingProvider,
    fleet: Fleet,
    folder: Path,
) -> AsyncIterator[None]:
    """Serve the control plane while this block runs; `folder` is this user's alone, and the workers know it.

    Raises:
        ConfigError: the address, or a file that the settings name, cannot be used.
    """
    blocks = Blocks(admin.blocks or folder / BLOCKS)
    alerts, told = Alerts(), Told()
    own = InWorkers(Acts(folder / ACTS))
    async with contextlib.AsyncExitStack() as stack:
        hearing = await receive(folder / SOCKET, partial(_hear, alerts, told, own))
        stack.callback(hearing.close)
        tell = stack.enter_context(operator_trail(settings, provider))
        databases = [_database(settings, address, targets, policy, provider) for address in settings.upstream]
        for database in databases:
            stack.push_async_callback(database.upstream.close)
        service = AdminService(settings, policy, databases, fleet, blocks, alerts, told, provider.key_id)
        risks = RiskService(own if settings.state is None else _shared(stack, settings.state, provider), tell)
        jobs = JobService(settings, policy, databases, folder, tell)
        listener = AdminListener(admin, service, risks, jobs)
        await listener.start()
        stack.push_async_callback(jobs.jobs.close)
        stack.push_async_callback(listener.stop)
        watching = asyncio.create_task(_watch(databases, listener, fleet, alerts))
        stack.callback(watching.cancel)
        yield


def _database(
    settings: Settings, address: Any, targets: Mapping[str, str], policy: PolicyHolder, provider: LeasingProvider
) -> Database:
    front = FRONTS.load(address.front)
    upstream = connect(address, targets[address.front], settings)
    read, real_name = partial(front.read_manifest, upstream), partial(front.real_name, upstream)
    memory = None if front.adopt is None else memory_in(settings, provider, open_state(settings, provider))
    alone = Generation(None, 1, 0)
    catalog = Catalog(read, real_name, provider, lambda: policy.current, alone, max_age=0.0, memory=memory)
    return Database(address, front, upstream, catalog)


def _shared(stack: contextlib.AsyncExitStack, state: StateSettings, provider: LeasingProvider) -> InStore:
    """What replicas remember together, over a connection that lives as long as the stack."""
    from vecguard.detect.redis import RedisStore
    from vecguard.state.connection import Connection

    connection = Connection(state, provider)
    stack.push_async_callback(connection.close)
    return InStore(RedisStore(connection))


def _hear(alerts: Alerts, told: Told, own: InWorkers, message: Mapping[str, Any]) -> None:
    """Take what a worker told; what is malformed is left alone."""
    with contextlib.suppress(ValueError, TypeError, KeyError, Unreadable):
        if "risk" in message and "alert" not in message:
            own.hear(message)
        elif "policy" in message:
            told.policies[int(message["worker"]), int(message["pid"])] = str(message["policy"])
        elif "alert" in message:
            alerts.add(alert_of(message))


async def _watch(databases: list[Database], listener: AdminListener, fleet: Fleet, alerts: Alerts) -> None:
    """Keep health up to date, and tell of databases that are lost and come back, and of workers that end."""
    connected: dict[str, bool] = {}
    restarts = sum(count for _, _, count in fleet.states())
    while True:
        for database in databases:
            front, now = database.front.name, database.upstream.reachable()
            if connected.get(front, now) != now:
                alerts.add(alert_of({"alert": "UPSTREAM_BACK" if now else "UPSTREAM_LOST", "time": time.time()}))
            connected[front] = now
            await listener.tell_health(front, now)
        workers = list(fleet.states())
        await listener.tell_health("", all(connected.values()) and any(pid for _, pid, _ in workers))
        ended = sum(count for _, _, count in workers)
        for _ in range(ended - restarts):
            alerts.add(alert_of({"alert": "WORKER_ENDED", "time": time.time()}))
        restarts = ended
        await asyncio.sleep(_WATCH_S)
