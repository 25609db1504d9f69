"""The processes under measure: starting each as its own child, waiting until it answers, and reading its CPU time.

CPU time is read from each process' own clock and from `/proc` (proc(5)), so the benchmarks run on Linux only. Each
child gets one BLAS thread, as a worker of VecGuard should have.
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
# CPUCLOCK_SCHED of linux/posix-timers_types.h: the clock of what the scheduler has given a process.
_SCHEDULED = 2
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
HEALTH = "/qdrant.Qdrant/HealthCheck"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Held:
    """Resident memory of a process, MiB. `anonymous` is its own (heaps, stacks, shared memory), which only it can give
    back; `file` are pages of files that it maps (programs, data), which the kernel takes when it needs room."""

    anonymous: float
    file: float


@dataclass(frozen=True)
class Child:
    """A running process with its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants, seconds."""
        return sum(_cpu_seconds(pid) for pid in _family(self.process.pid))

    def memory_mib(self) -> float:
        """Resident memory of the process and its descendants, MiB; pages that they share count more than once."""
        return sum(held.anonymous + held.file for held in self.memory().values())

    def memory(self) -> dict[str, Held]:
        """Resident memory of the process and each of its descendants, by what it runs (`vecguard.worker 0`)."""
        found = {pid: _held(pid) for pid in _family(self.process.pid)}
        return {_runs(pid): held for pid, held in found.items() if held is not None}

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


def children_cpu_seconds() -> float:
    """User and system time of this process's living descendants, seconds."""
    return sum(_cpu_seconds(pid) for pid in _family(os.getpid())[1:])


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


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process with all threads that it ever had, and of its children that have ended.

    Its own is read from its CPU clock, to the nanosecond (clock_getcpuclockid(3)), its dead children's from
    /proc/PID/stat (cutime and cstime, fields 16 and 17), in steps of 1/SC_CLK_TCK. 0 when the process has gone.
    """
    try:
        own = time.clock_gettime(~pid << 3 | _SCHEDULED)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    ended = stat[stat.rindex(")") + 2 :].split()[13:15]
    return own + SECONDS_PER_TICK * sum(map(int, ended))


def _held(pid: int) -> Held | None:
    """RssAnon, RssShmem and RssFile of /proc/PID/status; None when the process has gone, or is about to be another."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if name[:3] == "Rss"}
    return Held((kib["RssAnon"] + kib["RssShmem"]) / 1024, kib["RssFile"] / 1024) if kib else None


def _runs(pid: int) -> str:
    """What a process runs: the module behind `python -m` and, where it has one, the number or command after that."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return str(pid)
    if "-m" not in words[:-2]:
        return f"{Path(words[0]).name} {pid}"
    module, first = words[words.index("-m") + 1 :][:2]
    return f"{module} {first}" if first.isalnum() else module
