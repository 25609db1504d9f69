"""A Redis or Valkey server for tests: the installed one, or Debian's, unpacked; on loopback, ended by its process."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ports import free_port

START_S = 180.0
_UNPACKED = Path(__file__).parents[1] / ".redis"
_FETCH = Path(__file__).with_name("fetch_redis.sh")


@functools.cache
def binary() -> tuple[str, dict[str, str]]:
    """The server's file, and the environment that it needs."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found, {}
    with _UNPACKED.with_name(".redis.lock").open("w") as lock:  # one of several test processes unpacks it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(_UNPACKED.rglob("redis-check-rdb")):
            subprocess.run(["sh", str(_FETCH), str(_UNPACKED)], check=True, timeout=180, capture_output=True)
    # Debian's `redis-server` is a link to this file, which acts by the name that it is called by.
    (unpacked,) = _UNPACKED.rglob("redis-check-rdb")
    server = unpacked.with_name("redis-server")
    if not server.exists():
        with contextlib.suppress(FileExistsError):
            server.symlink_to(unpacked.name)
    folders = {str(file.parent) for file in _UNPACKED.rglob("*.so.*")}
    return str(server), {"LD_LIBRARY_PATH": ":".join(sorted(folders))}


@dataclass
class RedisServer:
    """One server, and what a test does to it."""

    folder: Path
    port: int
    arguments: Sequence[str] = ()
    tls: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As a setting."""
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, over the data that it wrote when it was last stopped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        server, environment = binary()
        port = ("--port", "0", "--tls-port", str(self.port)) if self.tls else ("--port", str(self.port))
        common = ("--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "3600 1", "--appendonly", "yes")
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [server, *port, *common, *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End it as an operator does; what it holds is on disk then."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def hang(self) -> None:
        """Let it answer nothing, with its connections open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def redis_server(folder: Path, *arguments: str, tls: bool = False) -> Iterator[RedisServer]:
    """A server of its own while this block runs."""
    server = RedisServer(folder, free_port(), arguments, tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()
