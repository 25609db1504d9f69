"""What the kernel knows of a server's processes (Linux, proc(5))."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

_ESTABLISHED = "01"


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return when `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> dict[int, str]:
    """Processes started by `parent`, with their command lines."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            line = (stat.parent / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if int(fields[1]) == parent and fields[0] != "Z":
            found[int(stat.parent.name)] = line.replace(b"\0", b" ").decode()
    return found


def workers(parent: int) -> list[int]:
    """Process ids of a proxy's workers."""
    return sorted(pid for pid, line in children(parent).items() if "vecguard.worker" in line)


def engine(parent: int) -> int:
    """Process id of a proxy's embedded engine."""
    (pid,) = [pid for pid, line in children(parent).items() if "vecguard.engine" in line]
    return pid


def connections(pid: int, port: int) -> int:
    """How many clients a process has taken on a listening TCP port."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            target = str(link.readlink())
            if target.startswith("socket:["):
                held.add(target[len("socket:[") : -1])
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return sum(int(row[1].rpartition(":")[2], 16) == port and row[3] == _ESTABLISHED and row[9] in held for row in rows)
