"""`python -m vecguard.worker`: one of several workers, started by `vecguard serve --workers N` and ended with it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from vecguard.config import Settings
from vecguard.deferred import CLIENT_PACKAGES, defer
from vecguard.engine.parent_death import die_with_parent
from vecguard.errors import VecGuardError
from vecguard.generation import Generation
from vecguard.observing import METRICS, share_metrics
from vecguard.trail import configure
from vecguard.wiring import Worker


async def _serve(settings: Settings, targets: Mapping[str, str], generation: Path, number: int) -> None:
    configure()
    if settings.metrics_listen is not None:
        share_metrics(generation.with_name(METRICS))
    control = None if settings.admin is None else generation.parent
    worker = Worker(settings, targets, Generation(generation, settings.workers, number), number, control=control)
    await worker.run(lambda: print("ready", flush=True))


def main(arguments: list[str]) -> int:
    """Serve as the worker that the arguments describe: number, parent's pid, target, generation file, settings."""
    defer(*CLIENT_PACKAGES)
    number, parent, targets, generation, settings = arguments
    try:
        die_with_parent(int(parent))
        asyncio.run(_serve(Settings.model_validate_json(settings), json.loads(targets), Path(generation), int(number)))
    except VecGuardError as failure:
        print(f"vecguard worker {number}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
