"""Milvus Lite as a server's database: what clients had loaded is loaded again after a restart, as a server does it.

Milvus Lite forgets which collections were loaded, and one with an index answers no search until it is loaded again.
Their names are kept in a file of the data folder; a collection is loaded when it is first opened.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Final

import grpc
from milvus_lite import MilvusLite
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecguard.engine.durable_files import write_atomically

LOADED_FILE: Final = "engine.loaded"
DEFAULT_DATABASE: Final = "default"
# A timestamp of Milvus: milliseconds since 1970, and 18 bits of a counter ("Timestamp" in Milvus' documentation).
_COUNTER_BITS: Final = 18
_log = logging.getLogger(__name__)


class Database(MilvusLite):  # type: ignore[misc] # untyped
    """An open data folder, and the collections that are to be loaded."""

    def __init__(self, data: Path) -> None:
        """Open the folder.

        Raises:
            milvus_lite.DataDirLockedError: another process has it open.
        """
        super().__init__(str(data))
        self._file = data / LOADED_FILE
        self._loaded = _read(self._file)
        self._waiting = set(self._loaded)

    def get_collection(self, name: str, database_name: str = DEFAULT_DATABASE) -> Any:
        """The open collection; loaded if it was before the last stop."""
        collection = super().get_collection(name, database_name=database_name)
        key = (database_name, collection.name)
        if key in self._waiting:
            self._waiting.discard(key)
            try:
                collection.load()
            except Exception:  # noqa: BLE001 - the collection is there all the same, and a client can load it
                _log.exception("collection not loaded")
        return collection

    def was_loaded(self, name: str, database_name: str) -> bool:
        """Whether a client had the collection loaded; `name` may be an alias."""
        return (database_name, self.resolve_collection_name(name, database_name=database_name)) in self._loaded

    def note(self, name: str, database_name: str, loaded: bool) -> None:
        """Remember that a collection was loaded, or is so no more; `name` may be an alias."""
        key = (database_name, self.resolve_collection_name(name, database_name=database_name))
        changed = self._loaded | {key} if loaded else self._loaded - {key}
        self._waiting.discard(key)
        if changed != self._loaded:
            write_atomically(self._file, json.dumps(sorted(changed)).encode())
            self._loaded = changed


class Servicer(MilvusServicer):  # type: ignore[misc] # untyped
    """Milvus Lite's services, and what clients of a server expect besides."""

    _db: Database

    def AllocTimestamp(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The time now; clients ask for it while they wait for an index."""
        return milvus_pb2.AllocTimestampResponse(timestamp=(time.time_ns() // 1_000_000) << _COUNTER_BITS)

    def LoadCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Load, and remember it."""
        return self._noted(super().LoadCollection(request, context), request.collection_name, request, context, True)

    def ReleaseCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Release, and remember it."""
        return self._noted(super().ReleaseCollection(request, context), request.collection_name, request, context)

    def DropCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Drop; another collection of the name is not loaded."""
        return self._noted(super().DropCollection(request, context), request.collection_name, request, context)

    def RenameCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Rename, and load it under its new name if it was: Milvus Lite closes it."""
        database = self._database_name(request, context)
        was_loaded = self._db.was_loaded(request.oldName, database)
        status = self._noted(super().RenameCollection(request, context), request.oldName, request, context)
        if was_loaded and not status.code:
            again = milvus_pb2.LoadCollectionRequest(db_name=database, collection_name=request.newName)
            return self.LoadCollection(again, context)
        return status

    def _noted(
        self, status: common_pb2.Status, name: str, request: Any, context: grpc.ServicerContext, loaded: bool = False
    ) -> common_pb2.Status:
        if not status.code:
            self._db.note(name, self._database_name(request, context), loaded)
        return status


def _read(file: Path) -> frozenset[tuple[str, str]]:
    try:
        return frozenset((database, name) for database, name in json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return frozenset()
