"""Building a collection's indexes without holding up its searches.

Edge's `optimize()` keeps Python's lock for as long as it runs, so it runs in a process of its own on a copy of the
shard:

1. with writes paused, copy the shard as it is, and start to journal the operations that follow;
2. optimize the copy in a child process;
3. replay the journal on the copy, a few milliseconds at a time;
4. with writes paused, replay the rest, and swap the copy in by replacing one small file.

Up to the swap the old shard holds every acknowledged write, and after it the new one does; a crash at any point leaves
one of the two, and opening the collection removes the other.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from google.protobuf import json_format
from qdrant_client import grpc as qdrant
from qdrant_edge import EdgeShard

from vecguard.engine.build_child import NOTHING_TO_DO
from vecguard.engine.collection import Collection
from vecguard.engine.durable_files import remove_tree, sync_tree
from vecguard.engine.edge_errors import EngineFailure, as_engine_error
from vecguard.engine.journal import Journal, JournalEntry

# Longest time for which a replay keeps searches waiting, unless a single operation takes longer.
_SLICE_SECONDS = 0.005


async def build_index(collection: Collection) -> bool:
    """Bring the collection's indexes up to date with its points and its configuration.

    Returns:
        False when there was nothing to do.

    Raises:
        VecGuardError: the child process failed, or the copy does not follow the original; the collection is as before.
        OSError: the shard cannot be copied; the collection is as before.
    """
    async with collection.builds:
        return await _build(collection)


async def _build(collection: Collection) -> bool:
    async with collection.paused_writes():
        copy = await collection.copy_shard()
        journal = collection.start_journal()
        config = collection.config
    shard: EdgeShard | None = None
    try:
        if not await _optimize(copy, config):
            return False
        shard = EdgeShard.load(str(copy))
        await _catch_up_and_swap(collection, copy, shard, journal)
        return True
    except (asyncio.CancelledError, OSError):
        raise
    except BaseException as failure:  # a Rust panic is no Exception
        raise as_engine_error(failure) from failure
    finally:
        collection.stop_journal()
        if collection.shard_folder != copy:
            if shard is not None:
                shard.close()
            await asyncio.to_thread(remove_tree, copy)


async def _optimize(folder: Path, config: qdrant.CollectionConfig) -> bool:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vecguard.engine.build_child", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await child.communicate(json_format.MessageToJson(config).encode())
    except BaseException:
        if child.returncode is None:
            child.kill()
            await child.wait()
        raise
    if child.returncode == NOTHING_TO_DO:
        return False
    if child.returncode != 0:
        last_words = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineFailure(f"index builder ended with status {child.returncode}: {last_words}")
    return True


async def _catch_up_and_swap(collection: Collection, copy: Path, shard: EdgeShard, journal: Journal) -> None:
    await _replay(shard, journal)
    await asyncio.to_thread(sync_tree, copy)
    await _replay(shard, journal)
    async with collection.paused_writes():
        await _replay(shard, journal)
        retired_folder, retired = await collection.replace_shard(copy, shard)
    # Closing flushes while it keeps Python's lock, so it should find everything on disk.
    await asyncio.to_thread(sync_tree, retired_folder)
    retired.close()
    await asyncio.to_thread(remove_tree, retired_folder)


async def _replay(shard: EdgeShard, journal: Journal) -> None:
    while journal:
        deadline = time.monotonic() + _SLICE_SECONDS
        while journal and time.monotonic() < deadline:
            _replay_one(shard, journal.pop())
        await asyncio.sleep(0)


def _replay_one(shard: EdgeShard, entry: JournalEntry) -> None:
    try:
        shard.update(entry.operation)
    except Exception as failure:
        if not entry.failed:
            raise EngineFailure(f"an operation that the collection took fails on its copy: {failure}") from failure
    else:
        if entry.failed:
            raise EngineFailure("an operation that the collection refused succeeds on its copy")
