"""`python -m vecguard.engine`: the engine process on its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vecguard.deferred import defer
from vecguard.engine.parent_death import die_with_parent
from vecguard.errors import ConfigError, VecGuardError

if TYPE_CHECKING:
    from vecguard.engine.store import Store

GRACE_SECONDS = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Serve a data folder until SIGTERM or SIGINT. Exit status 1: it could not be served; standard error says why."""
    defer("qdrant_client")
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.die_with is not None:
            die_with_parent(options.die_with)
        asyncio.run(_serve(options))
    except VecGuardError as failure:
        print(f"engine: {failure}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    from vecguard.engine.server import DEFAULT_MESSAGE_BYTES

    parser = argparse.ArgumentParser(prog="python -m vecguard.engine", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder; made when it is not there")
    parser.add_argument("--listen", required=True, help="unix:/path or host:port")
    parser.add_argument("--max-message-bytes", type=int, default=DEFAULT_MESSAGE_BYTES)
    parser.add_argument(
        "--restore", action="append", default=[], metavar="FILE:COLLECTION", help="make a collection from a snapshot"
    )
    parser.add_argument("--die-with", type=int, metavar="PID", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace) -> None:
    from vecguard.engine.server import EngineServer, Listen
    from vecguard.engine.store import Store

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store = Store(options.data)
    store.open()
    try:
        await _restore(store, options.restore)
        server = EngineServer(store, Listen(options.listen, options.max_message_bytes))
        target = await server.start()
        # The line that whoever started this process waits for.
        print(f"serving {options.data} on {target}", flush=True)
        await stop.wait()
        await server.stop(GRACE_SECONDS)
    finally:
        await store.close()


async def _restore(store: Store, requests: list[str]) -> None:
    from vecguard.engine.snapshots import Snapshots

    snapshots = Snapshots(store)
    for request in requests:
        path, separator, name = request.rpartition(":")
        if not separator:
            raise ConfigError(f"--restore wants FILE:COLLECTION, got {request}")
        await snapshots.restore(Path(path), name)


if __name__ == "__main__":
    sys.exit(main())
