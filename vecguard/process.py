"""The processes of `vecguard serve`: the engine where it is embedded, and one or several workers on one port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from vecguard.config import Embedded, Remote, Settings, host_and_port
from vecguard.errors import ConfigError
from vecguard.generation import Generation
from vecguard.keys.lease import LeasingProvider
from vecguard.observing import METRICS, worker_ended
from vecguard.policy.model import Policy
from vecguard.registry import ENGINES
from vecguard.trail import configure
from vecguard.wiring import Worker, open_key, open_policy

if TYPE_CHECKING:  # loaded only where metrics are served
    from prometheus_client import CollectorRegistry

    from vecguard.admin.service import Fleet

_BACKOFF_S: Final = 0.5
_STOP_S: Final = 40.0
_log = structlog.get_logger("vecguard")

Greet = Callable[[Policy, bool], None]


async def run(settings: Settings, greet: Greet) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: policy, key or address cannot be used.
        Unavailable: the embedded engine does not start.
    """
    configure()
    rules = open_policy(settings).current
    provider, made = open_key(settings)
    async with contextlib.AsyncExitStack() as stack:
        targets: dict[str, str] = {
            upstream.front: await stack.enter_async_context(_database(upstream)) for upstream in settings.upstream
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecguard-")))
        if settings.workers == 1:
            registry = stack.enter_context(_metrics(settings, None))
            await stack.enter_async_context(_controlled(settings, targets, provider, _Alone(), folder))
            control = None if settings.admin is None else folder
            worker = Worker(settings, targets, Generation(None, 1, 0), registry=registry, control=control)
            await worker.run(lambda: greet(rules, made))
        else:
            await _run_workers(settings, targets, provider, folder, lambda: greet(rules, made))


class _Alone:
    """The one worker that runs in this process."""

    def states(self) -> list[tuple[int, int, int]]:
        """Number, process id and restarts."""
        return [(0, os.getpid(), 0)]

    def reload(self) -> None:
        """Let it read the policy file again."""
        os.kill(os.getpid(), signal.SIGHUP)


def _controlled(
    settings: Settings, targets: Mapping[str, str], provider: LeasingProvider, fleet: Fleet, folder: Path
) -> contextlib.AbstractAsyncContextManager[None]:
    """Serve the control plane while this block runs, where the settings say so."""
    if settings.admin is None:
        return contextlib.nullcontext()
    from vecguard.admin.host import controlled

    return controlled(settings, settings.admin, targets, open_policy(settings), provider, fleet, folder)


@contextlib.contextmanager
def _metrics(settings: Settings, folder: Path | None) -> Iterator[CollectorRegistry | None]:
    """Serve metrics while this block runs: those of workers that count into `folder`, or of this process alone."""
    if settings.metrics_listen is None:
        yield None
        return
    from vecguard.telemetry import exposition

    registry = exposition.own_registry() if folder is None else exposition.shared_registry(folder)
    with exposition.exposed(*host_and_port(settings.metrics_listen), registry):
        yield registry


@contextlib.asynccontextmanager
async def _database(upstream: Embedded | Remote) -> AsyncIterator[str]:
    """Where a database answers; an embedded engine lives as long as this block."""
    if isinstance(upstream, Remote):
        yield upstream.target
        return
    engine = ENGINES.load(upstream.kind)()
    try:
        yield await engine.start(upstream.data)
    finally:
        await engine.stop()


async def _run_workers(
    settings: Settings, targets: Mapping[str, str], provider: LeasingProvider, folder: Path, greet: Callable[[], None]
) -> None:
    for listen in settings.addresses:
        _require_free(listen)
    counted = folder / METRICS
    counted.mkdir(mode=0o700)
    workers = Workers(settings, targets, folder / "generation")
    with _metrics(settings, counted):
        async with _controlled(settings, targets, provider, workers, folder):
            await workers.run(greet)


def _require_free(listen: str) -> None:
    """Refuse an address that is in use: workers share their port, and would share a stranger's as well."""
    host, port = host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise ConfigError(f"cannot listen on {listen}: {fault.strerror}") from None


class Workers:
    """Worker processes that share a port; one that dies is replaced."""

    def __init__(self, settings: Settings, targets: Mapping[str, str], generation: Path) -> None:
        self._settings = settings
        self._targets = targets
        self._generation = generation
        self._children: dict[int, asyncio.subprocess.Process] = {}
        # Workers that start do not heed SIGHUP yet, which would end them: the signal waits until they do.
        self._starting: set[int] = set()
        self._waiting: set[int] = set()
        self._restarts = dict.fromkeys(range(settings.workers), 0)
        self._stopping = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Start the workers and watch them until SIGTERM or SIGINT; SIGHUP goes on to each of them.

        `ready` is told once all workers take calls and signals are heeded.

        Raises:
            ConfigError: a worker did not come up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        for worker in range(self._settings.workers):
            await self._launch(worker)
        ready()
        watches = [asyncio.create_task(self._watch(worker)) for worker in range(self._settings.workers)]
        await self._stopping.wait()
        self._signal(signal.SIGTERM)
        done, late = await asyncio.wait(watches, timeout=_STOP_S)
        for task in late:
            task.cancel()
        for child in self._children.values():
            if child.returncode is None:
                child.kill()
        for task in done:
            task.result()

    async def _launch(self, number: int) -> None:
        self._starting.add(number)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vecguard.worker", str(number), str(os.getpid()), json.dumps(self._targets)),
            *(str(self._generation), self._settings.model_dump_json()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        self._children[number] = child
        assert child.stdout is not None  # noqa: S101 - it was asked for above
        if await child.stdout.readline() != b"ready\n":
            raise ConfigError(f"worker {number} did not start; its error is on standard error")
        self._starting.discard(number)
        if number in self._waiting:
            self._waiting.discard(number)
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGHUP)

    async def _watch(self, number: int) -> None:
        while True:
            status = await self._children[number].wait()
            if self._stopping.is_set():
                return
            _log.error("worker ended; starting another", worker=number, status=status)
            worker_ended(self._generation.with_name(METRICS), self._children[number].pid)
            self._restarts[number] += 1
            self._starting.add(number)
            await asyncio.sleep(_BACKOFF_S)
            with contextlib.suppress(ConfigError):
                await self._launch(number)

    def states(self) -> list[tuple[int, int, int]]:
        """Number, process id (0 while it starts) and restarts of each worker."""
        running = {number: child.pid for number, child in self._children.items() if number not in self._starting}
        return [(number, running.get(number, 0), restarts) for number, restarts in self._restarts.items()]

    def reload(self) -> None:
        """Let each worker read the policy file again; one that starts does so once it has."""
        self._waiting |= self._starting
        for number, child in self._children.items():
            if number not in self._starting:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)
