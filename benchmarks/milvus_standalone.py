"""Turns into the real Milvus server of the PyPI package `milvus`, for benchmarks and tests.

`python milvus_standalone.py DATA PROGRAMS PORT PARENT [accounts] [restarts]`; the server ends with the process PARENT.
With `accounts` it asks who calls; with `restarts` it is soon up again over the same data. All ports are free ones, also
those of the embedded etcd, which the package's own `milvus-server` leaves fixed; so several can run side by side.
The programs (350 MB unpacked) are unpacked once into PROGRAMS and linked into DATA.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import sys
from collections.abc import Collection
from pathlib import Path

import milvus

from vecguard.engine.parent_death import die_with_parent

# What Milvus lets clients do is timed by these ticks: the default of 200 ms makes every strongly consistent read wait.
TICK_MS = "50"
# The server's query node waits for other nodes to take its segments over before it ends; there are none.
STOP_S = "1"
# The parts of the server hold leases in its etcd, and a server whose parts could not renew them in time, because the
# machine is busy, never answers again. One that starts again waits until the leases of the one before have ended.
LEASE_S, SHORT_LEASE_S = "60", "10"
# A query node that was not heard of for so long is asked nothing; the default is 10 s.
HEARTBEAT_MS = "60000"
PORTS = range(24_576, 32_768)
"""Where the server's own listeners are: below the ports that the kernel gives to whoever names none."""


def main(data: Path, programs: Path, port: int, parent: int, words: Collection[str]) -> None:
    """Configure and unpack, then replace this process by the server."""
    die_with_parent(parent)
    unpack(programs)
    data.mkdir(parents=True, exist_ok=True)
    ports = free_ports()
    config = milvus.MilvusServerConfig(data_dir=str(data), **ports | {"proxy_port": port})
    config.set("authorization_enabled", "accounts" in words)
    config.resolve()
    program = programs / "bin" / "milvus"
    environment = os.environ | {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(ports["metrics_port"]),
        "MILVUS_RUN_DIR": str(data / "run"),
        "LD_LIBRARY_PATH": str(program.parent),
        "ETCD_CONFIG_PATH": str(write_etcd(data, ports)),
        "PROXY_TIMETICKINTERVAL": TICK_MS,
        "COMMON_GRACEFULSTOPTIMEOUT": STOP_S,
        "COMMON_SESSION_TTL": SHORT_LEASE_S if "restarts" in words else LEASE_S,
        "QUERYCOORD_HEARTBEATAVAILABLEINTERVAL": HEARTBEAT_MS,
    }
    os.chdir(data)
    os.execve(program, [str(program), "run", "standalone"], environment)


def unpack(programs: Path) -> None:
    """Unpack the package's programs, unless another process did.

    Raises `PermissionError` for a folder of another user, who could have put other programs there.
    """
    programs.mkdir(mode=0o700, parents=True, exist_ok=True)
    if programs.stat().st_uid != os.getuid():
        raise PermissionError(f"{programs} belongs to another user")
    with (programs / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        milvus._initialize_data_files(str(programs))


def free_ports() -> dict[str, int]:
    """A free port of loopback for each of the server's listeners, but for the clients' own.

    From a range that the kernel gives nobody who names no port: some seconds pass until the server has bound them all.
    """
    names = [name for name in milvus.MilvusServerConfig().configurable_items if name.endswith("_port")]
    first = random.randrange(PORTS.start, PORTS.stop - 100)
    free = (port for port in range(first, PORTS.stop) if _is_free(port))
    return {name: next(free) for name in (*names, "metrics_port", "etcd_peer_port")}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_etcd(data: Path, ports: dict[str, int]) -> Path:
    """The embedded etcd's settings: etcd documents the keys under "Configuration file"."""
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd_port", "etcd_peer_port"))
    file = data / "configs" / "etcd.yaml"
    file.write_text(
        f"name: default\ndata-dir: {data / 'data' / 'etcd.data'}\nlog-outputs: [{data / 'logs' / 'etcd.log'}]\n"
        f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
    )
    return file


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
