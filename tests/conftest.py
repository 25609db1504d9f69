"""Servers that the whole test session shares."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from redis_server import RedisServer, redis_server
from serving import Proxy, Server, bare_engine, serving_proxy
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# `benchmarks` is a package beside `vecguard`, found from the repository's root.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.append(ROOT)
# Servers are started hundreds of times: each would compile all its modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Where files begin that share a process, one after the other, and so its Milvus servers: these are idle for most of a
# test's time, waiting for each other's clocks, and yet take a fifth of a core each. The first that fits counts.
LANES = {
    "tests/milvus/test_rollback": "Milvus, and what is remembered of it",
    "tests/milvus/test_differential_": "Milvus, beside straight clients",
    "tests/milvus/differential/": "Milvus, beside straight clients",
    "tests/milvus/": "Milvus",
}


def lane_of(path: str) -> str:
    """What runs in one process, one after the other: the files of a lane, any other file by itself."""
    return next((lane for start, lane in LANES.items() if path.startswith(start)), path)


class Lanes(LoadFileScheduling):
    """Deals out files to the processes, those of a lane together."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Instead of `--dist`."""
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lanes and then files with slow tests go first: at the end of a run no process waits for one that began late."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (lane_of(item.nodeid) not in LANES.values(), item.path not in slow))


_configure = structlog.configure


def _uncached(*args: Any, **settings: Any) -> None:
    """As `structlog.configure`; but a logger that remembered the file of one test's standard error would fail the next
    test of this process that logs."""
    _configure(*args, **{**settings, "cache_logger_on_first_use": False})


structlog.configure = _uncached


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process sets logging up for itself alone."""
    configured = structlog.is_configured()
    yield
    if not configured:
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded engine alone, on a TCP port."""
    with bare_engine(tmp_path_factory.mktemp("bare")) as server:
        yield server


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str | None], Proxy]]:
    """Gives the proxy with a policy (YAML text; None: the default policy) before an engine of its own.

    One policy text has one proxy for the whole session, so use collection names of your own.
    """
    running: dict[str | None, Proxy] = {}
    with contextlib.ExitStack() as stack:

        def start(policy: str | None = None) -> Proxy:
            if policy not in running:
                running[policy] = stack.enter_context(
                    serving_proxy(tmp_path_factory.mktemp("proxy"), policy, rest=True)
                )
            return running[policy]

        yield start


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server on loopback. It is nobody's to stop; use a prefix of your own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server
