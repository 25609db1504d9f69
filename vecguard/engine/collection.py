"""One collection: its reported configuration and the Edge shard that holds its points.

Folder of a collection:

    collection.json   name, creation time and configuration as clients see it
    CURRENT           the name of the live shard folder; replaced atomically when an index build is swapped in
    shard-N/          a Qdrant Edge shard (segments and write-ahead log)

Edge never releases Python's lock, so a second thread would add switching and no parallelism: shard calls run where they
are awaited, on the event loop, and everything that takes long (copying, syncing, index building) runs elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qdrant_client import grpc as qdrant
from qdrant_edge import EdgeShard, UpdateOperation

from vecguard.engine import vector_names
from vecguard.engine.collection_record import CollectionRecord
from vecguard.engine.config_convert import dense_vectors, edge_config, sparse_vectors
from vecguard.engine.durable_files import copy_tree, remove_tree, sync_tree, write_atomically
from vecguard.engine.edge_errors import EngineFailure, as_engine_error
from vecguard.engine.journal import Journal
from vecguard.engine.payload_schema import payload_schema_of
from vecguard.engine.shard_files import VectorSizes, log_size, vector_sizes
from vecguard.engine.uninterrupted import uninterrupted
from vecguard.stamp import fresh

if TYPE_CHECKING:
    from qdrant_edge import ShardInfo

T = TypeVar("T")

CURRENT = "CURRENT"
_SHARD_PREFIX = "shard-"
# Edge does not tell the number of its last operation; deleting the index of a field that cannot exist changes nothing
# but stamps the segments with the operation's number.
_MARKER_FIELD = "__operation_number__"
JOURNAL_LIMIT_BYTES = 1 << 30


class Collection:
    """A collection that is open for reading and writing. Made by `Collection.create` and `Collection.open`."""

    def __init__(self, folder: Path, record: CollectionRecord, shard: EdgeShard, next_operation: int) -> None:
        self.folder = folder
        self._record = record
        self.stamp = fresh()
        """That of the configuration as it is now, see `vecguard.stamp`."""
        self._shard = shard
        self._live_folder = str(self.shard_folder)
        self._next_operation = next_operation
        self._writes = asyncio.Lock()
        self.builds = asyncio.Lock()
        self._journal: Journal | None = None
        self._journal_room = asyncio.Event()
        self._journal_room.set()
        self.unsynced = False
        self.config_changed = False
        self.build_error = ""
        self.closed = False
        self.on_write: Callable[[], None] = _nothing

    @classmethod
    def create(cls, folder: Path, record: CollectionRecord) -> Collection:
        """Make the folder, its configuration and an empty shard.

        Raises:
            VecGuardError: Edge refuses the configuration; nothing is left behind then.
        """
        folder.mkdir(parents=True)
        try:
            shard_folder = folder / f"{_SHARD_PREFIX}0"
            shard_folder.mkdir()
            shard = EdgeShard.create(str(shard_folder), edge_config(record.config))
            write_atomically(folder / CURRENT, shard_folder.name.encode())
            record.save(folder)  # last: a folder without its record is an interrupted creation
        except BaseException as failure:
            remove_tree(folder)
            raise as_engine_error(failure) from failure
        return cls(folder, record, shard, next_operation=0)

    @classmethod
    def open(cls, folder: Path) -> Collection:
        """Load the live shard (replaying its write-ahead log) and drop what an interrupted index build left.

        Raises:
            VecGuardError: the folder cannot be read; nothing in it is removed then.
        """
        record = CollectionRecord.load(folder)
        current = _current_shard(folder)
        for leftover in folder.glob(f"{_SHARD_PREFIX}*"):
            if leftover.name != current:
                remove_tree(leftover)
        try:
            shard = EdgeShard.load(str(folder / current))
            vector_names.reconcile(shard, folder / current, record.config)
            next_operation = _mark_operation(shard) + 1
        except BaseException as failure:
            raise as_engine_error(failure) from failure
        return cls(folder, record, shard, next_operation)

    @property
    def name(self) -> str:
        """The collection's name, as created."""
        return self._record.name

    @property
    def created_at(self) -> float:
        """Creation time in seconds since the epoch."""
        return self._record.created_at

    @property
    def config(self) -> qdrant.CollectionConfig:
        """The configuration as Qdrant reports it. Treat as read-only; change it with `update_config`."""
        return self._record.config

    @property
    def vectors(self) -> dict[str, qdrant.VectorParams]:
        """Dense (and multi-) vectors by name; the unnamed vector has the name ""."""
        return dense_vectors(self._record.config)

    @property
    def sparse_vectors(self) -> dict[str, qdrant.SparseVectorParams]:
        """Sparse vectors by name."""
        return sparse_vectors(self._record.config)

    @property
    def payload_schema(self) -> dict[str, qdrant.PayloadSchemaInfo]:
        """Indexed payload fields by path, with their index parameters and numbers of indexed points."""
        return payload_schema_of(self.info().payload_schema)

    def info(self) -> ShardInfo:
        """Numbers of points, segments and indexed vectors."""
        return self._call(lambda shard: shard.info())

    @property
    def building(self) -> bool:
        """Whether an index is being built on a copy of the shard."""
        return self._journal is not None

    def vector_sizes(self) -> VectorSizes:
        """Bytes of vectors that wait for an index, and that have one."""
        return vector_sizes(self._live_folder)

    def log_size(self) -> int:
        """Bytes of the write-ahead log."""
        return log_size(self._live_folder)

    @property
    def shard_folder(self) -> Path:
        """The folder that holds the shard after a restart, as the disk has it: that of the live shard, unless replacing
        it failed half-way."""
        return self.folder / _current_shard(self.folder)

    async def read(self, fn: Callable[[EdgeShard], T]) -> T:
        """Run `fn` on the live shard. It sees every write that was acknowledged before.

        Args:
            fn: called with the shard, which it must not keep: an index build may replace it.

        Raises:
            VecGuardError: what Edge raised, with Qdrant's status and wording.
        """
        return self._call(fn)

    async def write(self, operation: UpdateOperation, size: int = 0) -> int:
        """Apply one operation after all earlier ones; it survives a kill of the process once this returns.

        Args:
            operation: may be applied again to a copy of the shard, so it must not be changed afterwards.
            size: bytes of the request (`ByteSize()`), which bound the memory held while an index is built.

        Returns:
            The operation's number in the collection, from 0, rising; the `version` of the points that it changes.

        Raises:
            VecGuardError: what Edge raised, with Qdrant's status and wording.
        """
        await self._journal_room.wait()
        async with self._writes:
            return self._apply(operation, size)

    async def write_all(self, operations: Iterable[UpdateOperation], size: int = 0) -> int:
        """Apply several operations with no other write between them; the first failure ends the run.

        Args:
            operations: at least one.
            size: bytes of the request they came from.

        Returns:
            The number of the last operation.
        """
        await self._journal_room.wait()
        number = -1
        async with self._writes:
            for operation in operations:
                number = self._apply(operation, size)
                size = 0
        if number < 0:
            raise ValueError("write_all needs at least one operation")
        return number

    async def update_config(self, config: qdrant.CollectionConfig) -> None:
        """Replace the configuration durably. The stored points follow with the next index build."""
        async with self._writes:
            await self._save_config(config)
            self.config_changed = True
            self.on_write()

    async def create_vector_name(
        self, name: str, vector: qdrant.VectorParams | qdrant.SparseVectorParams, operation: UpdateOperation
    ) -> int:
        """Add a named vector to the configuration and, with `operation`, to the shard."""
        return await self._change_vectors(vector_names.with_vector(self.config, name, vector), operation)

    async def delete_vector_name(self, name: str, operation: UpdateOperation) -> int:
        """Remove a named vector from the configuration and, with `operation`, from the shard."""
        return await self._change_vectors(vector_names.without_vector(self.config, name), operation)

    @contextlib.asynccontextmanager
    async def paused_writes(self) -> AsyncIterator[None]:
        """Hold writes back; reads go on."""
        async with self._writes:
            yield

    async def sync(self) -> None:
        """Write everything to disk, log and all, without holding up reads or writes."""
        self.unsynced = False  # before the syncing: a write during it is not covered
        try:
            await asyncio.to_thread(sync_tree, self.shard_folder)
        except OSError:
            self.unsynced = True
            raise

    async def shorten_log(self) -> None:
        """Flush the segments, so that the write-ahead log is no longer needed and opening is quick.

        Edge keeps Python's lock while it flushes, so everything is synced before and it finds little to do.
        """
        await self.sync()
        if not self.closed:
            self._call(lambda shard: shard.flush())

    async def copy_shard(self) -> Path:
        """Copy the live shard to a new shard folder. Only while writes are paused.

        The copy is what a kill would leave: its log completes it when it is loaded.
        """
        source = self.shard_folder
        target = self.folder / f"{_SHARD_PREFIX}{int(source.name.removeprefix(_SHARD_PREFIX)) + 1}"
        await asyncio.to_thread(remove_tree, target)
        try:
            await asyncio.to_thread(copy_tree, source, target)
        except OSError:
            await asyncio.to_thread(remove_tree, target)  # no room on the disk, most likely
            raise
        return target

    def start_journal(self) -> Journal:
        """Begin to keep the operations applied from now on. Only while writes are paused."""
        self._journal = Journal()
        return self._journal

    def stop_journal(self) -> None:
        """Keep operations no longer, and let writes through that waited for room."""
        self._journal = None
        self._journal_room.set()

    async def replace_shard(self, folder: Path, shard: EdgeShard) -> tuple[Path, EdgeShard]:
        """Make `shard` the live one, durably and for all reads from now on. Only while writes are paused.

        Returns:
            The folder and shard that were live before, for the caller to close and remove.
        """
        retired = self.shard_folder, self._live()
        await uninterrupted(self._switch(folder, shard))
        return retired

    async def _switch(self, folder: Path, shard: EdgeShard) -> None:
        await asyncio.to_thread(write_atomically, self.folder / CURRENT, folder.name.encode())
        self._shard, self._live_folder = shard, str(folder)
        self.stop_journal()

    async def _change_vectors(self, config: qdrant.CollectionConfig, operation: UpdateOperation) -> int:
        # The configuration goes first: opening the collection repeats an operation that a crash prevented.
        return await uninterrupted(self._change_vectors_in_order(config, operation))

    async def _change_vectors_in_order(self, config: qdrant.CollectionConfig, operation: UpdateOperation) -> int:
        async with self._writes:
            before = self._record.config
            await self._save_config(config)
            try:
                return self._apply(operation, 0)
            except BaseException:
                await self._save_config(before)
                raise

    def close(self) -> None:
        """Flush and release the shard. A closed collection answers nothing."""
        if not self.closed:
            self.closed = True
            self._journal_room.set()
            self._shard.close()

    def _live(self) -> EdgeShard:
        if self.closed:
            raise EngineFailure(f"Service internal error: Collection `{self.name}` is closed")
        return self._shard

    def _call(self, fn: Callable[[EdgeShard], T]) -> T:
        try:
            return fn(self._live())
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        except BaseException as failure:  # a Rust panic is no Exception
            raise as_engine_error(failure) from failure

    def _apply(self, operation: UpdateOperation, size: int) -> int:
        shard = self._live()
        number = self._next_operation
        # A failed operation takes a number too, since Edge logs before it applies.
        self._next_operation += 1
        self.unsynced = True
        self.on_write()
        failed = True
        try:
            shard.update(operation)
            failed = False
        except BaseException as failure:
            raise as_engine_error(failure) from failure
        finally:
            if self._journal is not None:
                self._journal.append(operation, failed=failed, size=size)
                if self._journal.size > JOURNAL_LIMIT_BYTES:
                    self._journal_room.clear()
        return number

    async def _save_config(self, config: qdrant.CollectionConfig) -> None:
        record = self._record.with_config(config)
        await asyncio.to_thread(record.save, self.folder)
        self._record, self.stamp = record, fresh()


def _current_shard(folder: Path) -> str:
    try:
        name = (folder / CURRENT).read_text().strip()
    except OSError as failure:
        raise EngineFailure(f"{folder / CURRENT} cannot be read: {failure}") from failure
    if not name.startswith(_SHARD_PREFIX) or not (folder / name).is_dir():
        raise EngineFailure(f"{folder / CURRENT} names no shard")
    return name


def _nothing() -> None:
    """Nobody listens to writes."""


def _mark_operation(shard: EdgeShard) -> int:
    """Make Edge write down its operation number, and read it."""
    shard.update(UpdateOperation.delete_field_index(_MARKER_FIELD))
    manifest = shard.snapshot_manifest()
    return max(int(segment["segment_version"]) for segment in manifest.values())
