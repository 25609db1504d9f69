"""The data folder: its lock, its collections and aliases, and the background work on them.

Folder:

    LOCK                   held for as long as a process serves the folder; names that process
    aliases.json           alias -> collection
    collections/<uuid>/    one collection, see `collection.py`
    snapshots/             see `snapshots.py`
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from qdrant_client import grpc as qdrant

from vecguard.engine.collection import Collection
from vecguard.engine.collection_record import RECORD_FILE, CollectionRecord
from vecguard.engine.config_convert import collection_config
from vecguard.engine.config_update import updated_config
from vecguard.engine.config_validate import check_collection_name, check_name_length
from vecguard.engine.data_lock import DataLock
from vecguard.engine.durable_files import remove_tree, write_atomically
from vecguard.engine.edge_errors import EngineFailure
from vecguard.engine.maintenance import Maintenance
from vecguard.engine.uninterrupted import uninterrupted
from vecguard.errors import AlreadyExists, InvalidArgument, NotFound, VecGuardError

_COLLECTIONS = "collections"
_ALIASES = "aliases.json"
_DELETED = ".deleted"


class Store:
    """All collections of one data folder. One process at a time may open it.

    Args:
        folder: is made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = DataLock(folder)
        self._collections: dict[str, Collection] = {}
        self._aliases: dict[str, str] = {}
        self._maintenance: dict[str, Maintenance] = {}
        self._changes = asyncio.Lock()
        self._build_turn = asyncio.Lock()

    def open(self) -> None:
        """Take the lock and load every collection.

        Raises:
            FailedPrecondition: another process serves the folder.
            VecGuardError: a collection cannot be loaded.
        """
        self._lock.acquire()
        try:
            home = self.folder / _COLLECTIONS
            home.mkdir(exist_ok=True)
            for folder in sorted(home.iterdir()):
                self._load(folder)
            self._load_aliases()
        except BaseException:
            self._release()
            raise

    def resume_maintenance(self) -> None:
        """Begin the background work that was left when the folder was last closed. Needs a running event loop."""
        for maintenance in self._maintenance.values():
            maintenance.wake()

    async def close(self) -> None:
        """Stop background work, flush every collection and release the folder."""
        await asyncio.gather(*(maintenance.stop() for maintenance in self._maintenance.values()))
        self._release()

    def collection(self, name_or_alias: str) -> Collection:
        """The collection of that name or alias.

        Raises:
            NotFound: there is none.
            InvalidArgument: no collection can have that name.
        """
        found = self._collections.get(name_or_alias) or self._collections.get(self._aliases.get(name_or_alias, ""))
        if found is None:
            check_name_length(name_or_alias)
            raise _no_collection(name_or_alias)
        return found

    def exists(self, name_or_alias: str) -> bool:
        """Whether there is a collection of that name or alias."""
        return name_or_alias in self._collections or name_or_alias in self._aliases

    def names(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(self._collections)

    async def create(self, request: qdrant.CreateCollection) -> Collection:
        """Create an empty collection.

        Raises:
            InvalidArgument: a value is out of bounds.
            AlreadyExists: a collection or alias has that name.
            Refused: a feature that the engine does not have.
        """
        return await uninterrupted(self._create(request))

    async def _create(self, request: qdrant.CreateCollection) -> Collection:
        async with self._changes:
            name = request.collection_name
            config = collection_config(request)
            if name in self._collections:
                raise AlreadyExists(f"Wrong input: Collection `{name}` already exists!")
            if name in self._aliases:
                raise InvalidArgument(
                    f"Wrong input: Can't create collection with name {name}. Alias with the same name already exists"
                )
            record = CollectionRecord(name, time.time(), config)
            return self._adopt(await asyncio.to_thread(Collection.create, self._new_folder(), record))

    async def update(self, request: qdrant.UpdateCollection) -> None:
        """Change a collection's configuration; its index follows in the background.

        Raises:
            NotFound: there is no such collection.
            InvalidArgument: a value is out of bounds, or names a vector that is not there.
        """
        await uninterrupted(self._update(request))

    async def _update(self, request: qdrant.UpdateCollection) -> None:
        async with self._changes:
            collection = self.collection(request.collection_name)
            await collection.update_config(updated_config(collection.config, request))

    async def delete(self, name: str) -> bool:
        """Delete a collection, its points and its aliases.

        Returns:
            False when there was no collection of that name (an alias is not followed).
        """
        return await uninterrupted(self._delete(name))

    async def _delete(self, name: str) -> bool:
        async with self._changes:
            collection = self._collections.pop(name, None)
            if collection is None:
                return False
            await self._maintenance.pop(name).stop()
            self._save_aliases({alias: target for alias, target in self._aliases.items() if target != name})
            async with collection.paused_writes():
                collection.close()
                # After the rename the collection is gone whatever happens to its files.
                grave = collection.folder.with_name(collection.folder.name + _DELETED)
                collection.folder.rename(grave)
            await asyncio.to_thread(remove_tree, grave)
            return True

    def aliases(self, collection_name: str | None = None) -> dict[str, str]:
        """Alias -> collection, of all collections or of one."""
        return {alias: target for alias, target in sorted(self._aliases.items()) if collection_name in (None, target)}

    async def change_aliases(self, actions: Iterable[qdrant.AliasOperations]) -> None:
        """Apply several alias changes: all of them, or on an error none.

        Raises:
            NotFound: a collection or alias that an action names does not exist.
            InvalidArgument: a new alias has a collection's name.
        """
        async with self._changes:
            aliases = dict(self._aliases)
            for action in actions:
                self._change_alias(aliases, action)
            self._save_aliases(aliases)

    async def restore(self, name: str, folder: Path) -> Collection:
        """Take over a collection folder that was unpacked from a snapshot, under the given name.

        Raises:
            AlreadyExists: a collection or alias has that name.
            InvalidArgument: the folder cannot be loaded.
        """
        return await uninterrupted(self._restore(name, folder))

    async def _restore(self, name: str, folder: Path) -> Collection:
        async with self._changes:
            check_collection_name(name)
            if self.exists(name):
                raise AlreadyExists(f"Wrong input: Collection `{name}` already exists!")
            try:
                stored = CollectionRecord.load(folder)
                CollectionRecord(name, stored.created_at, stored.config).save(folder)
                # Tried before it is taken in: a folder that cannot be loaded would keep the whole store from opening.
                (await asyncio.to_thread(Collection.open, folder)).close()
            except VecGuardError:
                raise InvalidArgument("Wrong input: the snapshot holds no collection that can be loaded") from None
            target = self._new_folder()
            await asyncio.to_thread(folder.rename, target)
            return self._adopt(await asyncio.to_thread(Collection.open, target))

    def maintenance(self, name: str) -> Maintenance:
        """The background work on a collection (by its name)."""
        return self._maintenance[name]

    def _load(self, folder: Path) -> None:
        if folder.name.endswith(_DELETED) or not (folder / RECORD_FILE).exists():
            remove_tree(folder)  # an interrupted deletion or creation, which nobody was told had succeeded
            return
        self._adopt(Collection.open(folder))

    def _adopt(self, collection: Collection) -> Collection:
        if collection.name in self._collections:
            raise EngineFailure(f"two folders hold the collection `{collection.name}`, one is {collection.folder}")
        self._collections[collection.name] = collection
        self._maintenance[collection.name] = Maintenance(collection, self._build_turn)
        return collection

    def _new_folder(self) -> Path:
        return self.folder / _COLLECTIONS / uuid.uuid4().hex

    def _release(self) -> None:
        for collection in self._collections.values():
            collection.close()
        self._collections.clear()
        self._maintenance.clear()
        self._lock.release()

    def _load_aliases(self) -> None:
        path = self.folder / _ALIASES
        if path.exists():
            stored: dict[str, str] = json.loads(path.read_bytes())
            self._aliases = {alias: target for alias, target in stored.items() if target in self._collections}

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        if aliases != self._aliases:
            write_atomically(self.folder / _ALIASES, json.dumps(aliases, indent=1, sort_keys=True).encode())
            self._aliases = aliases

    def _change_alias(self, aliases: dict[str, str], action: qdrant.AliasOperations) -> None:
        kind = action.WhichOneof("action")
        if kind == "create_alias":
            create = action.create_alias
            if create.collection_name not in self._collections:
                raise _no_collection(create.collection_name)
            self._check_alias_name(create.alias_name)
            aliases[create.alias_name] = create.collection_name
        elif kind == "delete_alias":
            aliases.pop(action.delete_alias.alias_name, None)
        elif kind == "rename_alias":
            rename = action.rename_alias
            if rename.old_alias_name not in aliases:
                raise NotFound(f"Not found: Alias {rename.old_alias_name} does not exists!")
            self._check_alias_name(rename.new_alias_name)
            aliases[rename.new_alias_name] = aliases.pop(rename.old_alias_name)
        else:
            raise InvalidArgument("Malformed AliasOperation type")

    def _check_alias_name(self, alias: str) -> None:
        check_collection_name(alias)
        if alias in self._collections:
            raise AlreadyExists(f"Wrong input: Collection `{alias}` already exists!")


def _no_collection(name: str) -> NotFound:
    return NotFound(f"Not found: Collection `{name}` doesn't exist!")
