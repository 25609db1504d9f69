"""Starting, watching and stopping the engine process for another process that uses it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import grpc

from vecguard.errors import Unavailable

_log = logging.getLogger(__name__)

# sockaddr_un.sun_path holds 108 bytes, the closing zero included (unix(7)).
_MAX_SOCKET_PATH = 107
_START_SECONDS = 120.0
_STOP_SECONDS = 40.0
_HEALTH_SECONDS = 30.0
_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 5.0


class EngineProcess:
    """An engine process under supervision: restarted when it dies, gone when this process is.

    Start it from a thread that lives as long as it is needed: the kernel ends it with that thread.
    `module` is what runs in the process, `health` an RPC that it answers when sent an empty message.
    """

    module: ClassVar[str] = "vecguard.engine"
    health: ClassVar[str] = "/qdrant.Qdrant/HealthCheck"

    def __init__(self) -> None:
        self.restarts = 0
        self._target = ""
        self._arguments: tuple[str, ...] = ()
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log_pump: asyncio.Task[None] | None = None
        self._last_words = ""
        self._socket_folder: Path | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None while there is none."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    async def start(self, data: Path) -> str:
        """Serve `data` on a Unix socket of this user, and wait until the engine answers.

        Returns:
            The gRPC target, the same over restarts.

        Raises:
            Unavailable: the engine ended or did not answer in time; the text is its own.
        """
        self._target = self._own_target(data)
        self._arguments = (
            *(sys.executable, "-m", self.module, "--data", str(data), "--listen", self._target),
            *("--die-with", str(os.getpid())),
        )
        try:
            await self._launch()
        except TimeoutError as failure:
            await self.stop()
            raise Unavailable(f"the engine process did not start within {_START_SECONDS:.0f} s") from failure
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_alive())
        return self._target

    async def stop(self) -> None:
        """Let the engine finish its calls and flush; kill it only if it does not end."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._end_child()
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, data: Path) -> Iterator[str]:
        """An engine for the length of a `with` block, for callers without an event loop. Yields the gRPC target."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="engine-supervisor", daemon=True)
        thread.start()
        engine = cls()
        try:
            yield asyncio.run_coroutine_threadsafe(engine.start(data), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(engine.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @staticmethod
    def socket_of(data: Path) -> str | None:
        """The target of an engine that serves `data`, in whichever process; None where its path would be too long."""
        path = (data / "engine.sock").absolute()
        return f"unix:{path}" if len(os.fsencode(path)) <= _MAX_SOCKET_PATH else None

    def _own_target(self, data: Path) -> str:
        target = self.socket_of(data)
        if target is not None:
            return target
        self._socket_folder = Path(tempfile.mkdtemp(prefix="vecguard-"))
        return f"unix:{self._socket_folder / 'engine.sock'}"

    async def _launch(self) -> None:
        child = self._child = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._log_pump = asyncio.create_task(self._forward_log(child))
        # Asking for health is not enough: another engine on the same folder would answer.
        started = await asyncio.wait_for(_first_line(child), _START_SECONDS)
        if not started:
            await self._log_pump
            raise Unavailable(f"the engine process did not start: {self._last_words}")
        await self._check_health()

    async def _check_health(self) -> None:
        try:
            async with grpc.aio.insecure_channel(self._target) as channel:
                await channel.unary_unary(self.health, None, None)(b"", timeout=_HEALTH_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as failure:
            raise Unavailable(f"the engine process does not answer: {failure.details()}") from failure

    async def _keep_alive(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while self._child is not None:
            started = time.monotonic()
            status = await self._child.wait()
            self.restarts += 1
            _log.error("engine process ended with status %s; restarting", status)
            if time.monotonic() - started > _LAST_BACKOFF_SECONDS:
                backoff = _FIRST_BACKOFF_SECONDS
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LAST_BACKOFF_SECONDS)
            try:
                await self._launch()
            except (Unavailable, TimeoutError) as failure:
                _log.error("%s", failure)
                await self._end_child()

    async def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), _STOP_SECONDS)
            except TimeoutError:
                child.kill()
                await child.wait()
        if self._log_pump is not None:
            await self._log_pump

    async def _forward_log(self, child: asyncio.subprocess.Process) -> None:
        if child.stderr is None:
            return
        async for line in child.stderr:
            self._last_words = line.decode(errors="replace").rstrip().removeprefix("engine: ")
            _log.info("engine: %s", self._last_words)


async def _first_line(child: asyncio.subprocess.Process) -> bytes:
    return await child.stdout.readline() if child.stdout is not None else b""
