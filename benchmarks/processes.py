"""The processes under measure: starting each as its own child, waiting until it answers, and reading its CPU time.

CPU time is read from `/proc` (proc(5)), so the benchmarks run on Linux only. Each child gets one BLAS thread, as a
worker of VecGuard should have.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from vecguard.errors import Unavailable

SECONDS_PER_TICK = 1 / os.sysconf("SC_CLK_TCK")
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
HEALTH = "/qdrant.Qdrant/HealthCheck"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Child:
    """A running process with its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants, seconds; one step is 1/SC_CLK_TCK (10 ms)."""
        return SECONDS_PER_TICK * sum(_ticks(pid) for pid in _family(self.process.pid))

    def memory_mib(self) -> float:
        """Resident memory of the process and its descendants, MiB; pages that they share count more than once."""
        pages = (Path(f"/proc/{pid}/statm") for pid in _family(self.process.pid))
        held = sum(int(path.read_text().split()[1]) for path in pages if path.exists())
        return held * os.sysconf("SC_PAGE_SIZE") / 2**20

    def last_words(self) -> str:
        """The end of its log, for error texts."""
        return self.log.read_text(errors="replace")[-2_000:]


@contextmanager
def running(name: str, arguments: Sequence[str], logs: Path) -> Iterator[Child]:
    """`python -m ARGUMENTS` as a child with its output in `logs`; stopped by SIGTERM, by SIGKILL after 20 s."""
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **ONE_BLAS_THREAD},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Child(name, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def engine_command(data: Path, listen: str) -> tuple[str, ...]:
    """The embedded engine on its own, behind `python -m`."""
    return ("vecguard.engine", "--data", str(data), "--listen", listen)


def vecguard_command(listen: str, upstream: str, policy: Path, key: Path) -> tuple[str, ...]:
    """The proxy in front of the server at `upstream` (HOST:PORT), behind `python -m`."""
    protection = ("--policy", str(policy), "--key-file", str(key))
    return ("vecguard", "serve", "--listen", listen, "--rest", "off", "--upstream", f"qdrant://{upstream}", *protection)


def wait_until_serving(
    child: Child,
    target: str,
    seconds: float = 60,
    health: str = HEALTH,
    healthy: Callable[[bytes], bool] = lambda answer: True,
) -> None:
    """Return when `target` answers `health`, sent an empty message, by one that is `healthy`.

    Raises `Unavailable` with the child's log if it does not.
    """
    deadline = time.monotonic() + seconds
    with grpc.insecure_channel(target) as channel:
        ask = channel.unary_unary(health, None, None)
        while time.monotonic() < deadline and child.process.poll() is None:
            with suppress(grpc.RpcError):
                if healthy(ask(b"", timeout=1, wait_for_ready=True)):
                    return
            time.sleep(0.1)
    raise Unavailable(f"{child.name} does not serve on {target}: {child.last_words()}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _family(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for member in found:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # the thread ended while we looked
                continue
    return found


def _ticks(pid: int) -> int:
    """utime + stime + cutime + cstime (fields 14 to 17 of /proc/PID/stat); 0 when the process has gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The second field, the command, may hold spaces and brackets; counting starts behind its last bracket.
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])
