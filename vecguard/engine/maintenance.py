"""Background work on one collection: syncing what was written to disk, and building indexes when it pays.

Qdrant's server flushes every `flush_interval_sec` and lets its optimizers watch the segments; Edge leaves both to its
user. The work runs only while there is something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from vecguard.engine.collection import Collection
from vecguard.engine.failure_log import log_failure
from vecguard.engine.index_build import build_index
from vecguard.errors import VecGuardError

if TYPE_CHECKING:
    from qdrant_edge import ShardInfo

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
_RETRY_SECONDS = 60.0
# A build copies the whole shard, so it waits until this part of the indexed vectors has come in anew.
_GROWTH = 1 / 8
# A longer write-ahead log is shortened, so that opening the collection takes seconds at most.
_LOG_BYTES = 128 * 1024 * 1024


class Maintenance:
    """Syncs and index builds of one collection. `wake` is called on every write.

    Args:
        turn: held while an index is built, so that the collections of a store build one after the other.
    """

    def __init__(self, collection: Collection, turn: asyncio.Lock) -> None:
        self._collection = collection
        self._turn = turn
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._retry_at = 0.0
        self._last_sync = time.monotonic()
        # Bytes of vectors that the last build left as they were.
        self._left_unindexed = 0
        self._points_at_build = 0
        collection.on_write = self.wake

    def wake(self) -> None:
        """Start the background task unless it runs. Needs a running event loop."""
        if self._task is None and not self._stopping:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End background work; an index build in progress is dropped, the collection stays as it is."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def settled(self) -> None:
        """Wait until everything written so far is on disk and the indexes are up to date."""
        self.wake()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            more = True
            while more:
                more = await self._step()
                await asyncio.sleep(_TICK_SECONDS if more else 0)
        except asyncio.CancelledError:
            raise
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task
            log_failure(_log, "background work on a collection", failure)
        finally:
            self._task = None

    async def _step(self) -> bool:
        """Do what is due. Returns whether more is to come."""
        collection = self._collection
        if self.index_wanted():
            await self._build_in_turn()
        now = time.monotonic()
        if collection.unsynced and now - self._last_sync >= self._sync_interval():
            self._last_sync = now
            await collection.sync()
        if not collection.closed and collection.log_size() > _LOG_BYTES:
            await collection.shorten_log()
        return not collection.closed and (collection.unsynced or self.index_wanted() or self._retry_at > 0)

    def _sync_interval(self) -> float:
        return float(self._collection.config.optimizer_config.flush_interval_sec or 5)

    async def _build_in_turn(self) -> None:
        if self._turn.locked():
            return  # the next step asks again; syncing does not wait for it
        async with self._turn:
            await self._build()

    async def _build(self) -> None:
        collection = self._collection
        before = collection.info()
        config_changed, collection.config_changed = collection.config_changed, False
        try:
            built = await build_index(collection)
        except (VecGuardError, OSError) as failure:
            _log.error("index build failed: %s", failure)
            collection.build_error = str(failure)
            collection.config_changed |= config_changed
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return
        collection.build_error = ""
        self._retry_at = 0.0
        self._points_at_build = before.points_count
        # Without a build, what lies there cannot be indexed (HNSW is off, say); more of it may be reason to look again.
        self._left_unindexed = 0 if built else collection.vector_sizes().unindexed

    def index_wanted(self) -> bool:
        """Whether enough has changed since the last build for the next one to pay."""
        collection = self._collection
        if collection.closed or time.monotonic() < self._retry_at:
            return False
        if collection.config_changed:
            return True
        return self._enough_unindexed() or self._enough_deleted(collection.info())

    def _enough_unindexed(self) -> bool:
        threshold = self._collection.config.optimizer_config.indexing_threshold * 1024
        if threshold == 0 or not self._collection.vectors:
            return False
        sizes = self._collection.vector_sizes()
        self._left_unindexed = min(self._left_unindexed, sizes.unindexed)
        return sizes.unindexed - self._left_unindexed > max(threshold, sizes.finished * _GROWTH)

    def _enough_deleted(self, info: ShardInfo) -> bool:
        optimizers = self._collection.config.optimizer_config
        self._points_at_build = max(self._points_at_build, info.points_count)
        deleted = self._points_at_build - info.points_count
        return deleted >= optimizers.vacuum_min_vector_number and (
            deleted > optimizers.deleted_threshold * self._points_at_build
        )
