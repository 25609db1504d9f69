"""The KEK in a file that only its owner may read: the default provider."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vecguard.errors import AlreadyExists, ConfigError
from vecguard.keys.key import KEY_BYTES, Key
from vecguard.keys.provider import KeyProvider
from vecguard.keys.wrapping import LocalWrapping

_MAGIC: Final = "vecguard key 1"
_MAX_FILE_BYTES: Final = 4096
_MODE: Final = 0o600


class FileKeyProvider(LocalWrapping):
    """Opens a key file: three lines, `vecguard key 1`, `id: <16 hex digits>`, `key: <base64 of 32 bytes>`.

    The id is derived from the key, so a damaged line is found when the file is opened, not when data is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the KEK once; later changes of the file have no effect on this object.

        Raises:
            ConfigError: missing, readable or writable by others, or damaged.
        """
        self.path = Path(path)
        key_id, kek = _parse(_read_private(self.path), self.path)
        super().__init__(kek)
        if self.key_id != key_id:
            raise ConfigError(f"key file {self.path} is damaged: its id does not belong to its key")

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> FileKeyProvider:
        """Write a new random KEK to `path` (mode 0600, durable before this returns) and open it.

        The file appears whole or not at all, so that of several processes starting at once one creates it.

        Raises:
            AlreadyExists: the path is taken; it is left untouched.
            ConfigError: it cannot be written.
        """
        target = Path(path)
        kek = Key.random()
        text = f"{_MAGIC}\nid: {LocalWrapping(kek).key_id}\nkey: {base64.b64encode(kek.expose()).decode()}\n"
        try:
            _publish(target, text.encode())
        except FileExistsError:
            raise AlreadyExists(f"key file {target} exists already") from None
        except OSError as error:
            raise ConfigError(f"key file {target} cannot be written: {error.strerror}") from None
        return cls(target)


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is the file's path.

    Raises:
        ConfigError: see `FileKeyProvider`.
    """
    return FileKeyProvider(location)


def _publish(target: Path, content: bytes) -> None:
    # A hard link to a finished file is the one way to create it both whole and only if absent.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)
    finally:
        draft.unlink()
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # NONBLOCK: a FIFO must not hang the start
    except OSError as error:
        raise ConfigError(f"key file {path} cannot be opened: {error.strerror}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"key file {path} is not a regular file")
        if stat.S_IMODE(mode) & ~_MODE:
            raise ConfigError(f"key file {path} has mode {stat.S_IMODE(mode):04o}; it must be 0600 or narrower")
        return os.read(descriptor, _MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def _parse(content: bytes, path: Path) -> tuple[str, Key]:
    damaged = ConfigError(f"key file {path} is damaged or not a key file")
    try:
        magic, id_line, key_line, rest = content.decode("ascii").split("\n")
        secret = base64.b64decode(key_line.removeprefix("key: "), validate=True)
    except (ValueError, binascii.Error):
        raise damaged from None
    shape_is_right = id_line.startswith("id: ") and rest == ""
    is_canonical = key_line == f"key: {base64.b64encode(secret).decode()}"  # the decoder ignores spare bits
    if magic != _MAGIC or not shape_is_right or not is_canonical or len(secret) != KEY_BYTES:
        raise damaged
    return id_line.removeprefix("id: "), Key(secret)
