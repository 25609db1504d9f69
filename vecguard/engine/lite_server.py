"""`python -m vecguard.engine.lite_server`: Milvus Lite's server on its own.

The data folder is a folder of Milvus Lite; beside its files lie our lock and the socket. Calls are answered one after
another: Milvus Lite supposes one writer a collection, its readers can miss rows while a flush swaps its tables, and two
first calls at once would open a collection twice.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from vecguard.deferred import defer
from vecguard.engine.data_lock import DataLock
from vecguard.engine.listening import bind
from vecguard.engine.parent_death import die_with_parent
from vecguard.errors import ConfigError, VecGuardError
from vecguard.keepalive import PINGS

if TYPE_CHECKING:
    from vecguard.engine.lite_database import Database

GRACE_S: Final = 30.0
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
# Milvus Lite has a lock of its own in a file `LOCK`, which does not tell who holds it.
LOCK_FILE: Final = "engine.lock"
DEFAULT_MESSAGE_BYTES: Final = 256 * 1024 * 1024
# What a collection's folder may hold beside `schema.json`.
_WITHOUT_SCHEMA: Final = frozenset(
    {"schema.json.tmp", "manifest.json", "manifest.json.prev", "manifest.json.tmp", "partitions", "snapshots", "wal"}
)


def main(arguments: list[str] | None = None) -> int:
    """Serve a data folder until SIGTERM or SIGINT. Exit status 1: it could not be served; standard error says why."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Held back for `sigwait`, in this thread and all that are made from here on: a handler in Python can be missed by a
    # main thread that is just about to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        if options.die_with is not None:
            die_with_parent(options.die_with)
        _serve(options.data, options.listen)
    except VecGuardError as failure:
        print(f"engine: {failure}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vecguard.engine.lite_server", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder; made when it is not there")
    parser.add_argument("--listen", required=True, help="unix:/path or host:port")
    parser.add_argument("--die-with", type=int, metavar="PID", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _serve(data: Path, listen: str) -> None:
    _require_milvus_lite()
    lock = DataLock(data, LOCK_FILE)
    lock.acquire()
    remove_unfinished(data)
    database = _open(data)
    try:
        server = _server(database)
        target = bind(server, listen)
        server.start()
        # The line that whoever started this process waits for.
        print(f"serving {data} on {target}", flush=True)
        signal.sigwait(_ENDING)
        server.stop(GRACE_S).wait()
    finally:
        database.close()
        lock.release()


def _require_milvus_lite() -> None:
    """Make `milvus_lite` importable at its own cost alone: of `pymilvus` it needs the generated modules."""
    if find_spec("milvus_lite") is None or find_spec("pymilvus") is None:
        raise ConfigError("an embedded Milvus needs Milvus Lite: install vecguard[milvus-lite]")
    defer("pymilvus")


def remove_unfinished(data: Path) -> None:
    """Remove what a killed process left of collections that it was making or dropping.

    Such a folder has no schema, so the collection does not exist, and yet none of its name can be made. Only folders
    that hold nothing but Milvus Lite's own files are touched.
    """
    for collections in (data / "collections", *data.glob("databases/*/collections")):
        for folder in collections.glob("*"):
            if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= _WITHOUT_SCHEMA:
                shutil.rmtree(folder)


def _open(data: Path) -> Database:
    from milvus_lite import DataDirLockedError

    from vecguard.engine.lite_database import Database

    try:
        return Database(data)
    except DataDirLockedError:
        raise ConfigError(f"the data folder {data} is opened by another process with Milvus Lite") from None


def _server(database: Database) -> grpc.Server:
    from pymilvus.grpc_gen import milvus_pb2_grpc

    from vecguard.engine.lite_database import Servicer

    server = grpc.server(
        ThreadPoolExecutor(max_workers=1),
        options=[
            ("grpc.max_receive_message_length", DEFAULT_MESSAGE_BYTES),
            ("grpc.max_send_message_length", DEFAULT_MESSAGE_BYTES),
            # Two engines must not share a port: each would see a part of the calls.
            ("grpc.so_reuseport", 0),
            *PINGS,
        ],
    )
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(Servicer(database), server)
    return server


if __name__ == "__main__":
    sys.exit(main())
