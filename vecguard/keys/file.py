"""The KEK in a file that only its owner may read, as it is or encrypted under a passphrase: the default provider."""

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
from vecguard.keys import passphrase
from vecguard.keys.key import KEY_BYTES, Key
from vecguard.keys.passphrase import PASSPHRASE_VARIABLE, ScryptCost, ScryptSetting, has_passphrase
from vecguard.keys.provider import KeyProvider
from vecguard.keys.wrapping import LocalWrapping

_PLAIN: Final = "vecguard key 1"
_ENCRYPTED: Final = "vecguard key 2"
_MAX_FILE_BYTES: Final = 4096
_MODE: Final = 0o600
_DEFAULT_COST: Final = ScryptCost()
_NO_ENVIRONMENT: Final[Mapping[str, str]] = {}

# Functions here return what is wrong instead of raising it, wherever a local variable holds the key: a traceback that
# is printed with local variables must not show it.


class FileKeyProvider(LocalWrapping):
    """Opens a key file; docs/formats.md §1 has both forms, plain and encrypted.

    The file's id is derived from the key, so a damaged line is found when the file is opened, not when data is.
    """

    def __init__(self, path: str | os.PathLike[str], environ: Mapping[str, str] = _NO_ENVIRONMENT) -> None:
        """Read the KEK once; later changes of the file have no effect on this object.

        `environ` may hold the passphrase, as VECGUARD_KEY_PASSPHRASE.

        Raises:
            ConfigError: missing, readable or writable by others, damaged, or the passphrase does not fit.
        """
        self.path = Path(path)
        kek = _load(self.path, environ)
        if isinstance(kek, ConfigError):
            raise kek
        super().__init__(kek)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        environ: Mapping[str, str] = _NO_ENVIRONMENT,
        cost: ScryptCost = _DEFAULT_COST,
    ) -> FileKeyProvider:
        """Write a new random KEK to `path` (mode 0600, durable before this returns) and open it.

        It is encrypted where `environ` has a passphrase. The file appears whole or not at all, so that of several
        processes starting at once one creates it.

        Raises:
            AlreadyExists: the path is taken; it is left untouched.
            ConfigError: it cannot be written.
        """
        target = Path(path)
        failure = _publish(target, Key.random(), environ, cost, replace=False)
        if failure is not None:
            raise failure
        return cls(target, environ)


def encrypt_file(
    path: str | os.PathLike[str], environ: Mapping[str, str], cost: ScryptCost = _DEFAULT_COST
) -> FileKeyProvider:
    """Encrypt the plain key file at `path` under the passphrase in `environ`, at once or not at all; the KEK stays.

    Raises:
        ConfigError: it is no plain key file, there is no passphrase, or it cannot be written.
    """
    target = Path(path)
    if not has_passphrase(environ):
        raise ConfigError(f"environment variable {PASSPHRASE_VARIABLE} is not set")
    kek = _load(target, _NO_ENVIRONMENT)
    failure = kek if isinstance(kek, ConfigError) else _publish(target, kek, environ, cost, replace=True)
    if failure is not None:
        raise failure
    return FileKeyProvider(target, environ)


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is the file's path.

    Raises:
        ConfigError: see `FileKeyProvider`.
    """
    return FileKeyProvider(location, environ)


def _text(kek: Key, environ: Mapping[str, str], cost: ScryptCost) -> bytes:
    key_id = LocalWrapping(kek).key_id
    if not has_passphrase(environ):
        return f"{_PLAIN}\nid: {key_id}\nkey: {base64.b64encode(kek.expose()).decode()}\n".encode()
    setting = ScryptSetting.new(cost)
    header = f"{_ENCRYPTED}\nid: {key_id}\nscrypt: {setting}\n".encode()
    box = passphrase.encrypt(kek, environ, setting, header)
    return header + b"key: " + base64.b64encode(box) + b"\n"


def _publish(
    target: Path, kek: Key, environ: Mapping[str, str], cost: ScryptCost, *, replace: bool
) -> ConfigError | AlreadyExists | None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, kek, environ, cost)
        try:
            # A hard link to a finished file is the one way to create it both whole and only if absent.
            (os.replace if replace else os.link)(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except FileExistsError:
        return AlreadyExists(f"key file {target} exists already")
    except OSError as error:
        return ConfigError(f"key file {target} cannot be written: {error.strerror}")
    return None


def _write(draft: Path, kek: Key, environ: Mapping[str, str], cost: ScryptCost) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(_text(kek, environ, cost))
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(path: Path, environ: Mapping[str, str]) -> Key | ConfigError:
    content = _read_private(path)
    if isinstance(content, ConfigError):
        return content
    lines = content.decode("ascii", "replace").split("\n")
    kek: Key | ConfigError | None = None
    if len(lines) == 4 and lines[0] == _PLAIN:
        kek = _plain(lines, path, environ)
    elif len(lines) == 5 and lines[0] == _ENCRYPTED:
        kek = _encrypted(lines, path, environ)
    if isinstance(kek, ConfigError):
        return kek
    if kek is None or lines[-1] != "" or not lines[1].startswith("id: "):
        return ConfigError(f"key file {path} is damaged or not a key file")
    if LocalWrapping(kek).key_id != lines[1].removeprefix("id: "):
        return ConfigError(f"key file {path} is damaged: its id does not belong to its key")
    return kek


def _plain(lines: list[str], path: Path, environ: Mapping[str, str]) -> Key | ConfigError | None:
    if has_passphrase(environ):
        return ConfigError(
            f"{PASSPHRASE_VARIABLE} is set, but key file {path} is not encrypted: "
            f"encrypt it (`vecguard keys encrypt {path}`), or take the variable away"
        )
    secret = _bytes(lines[2])
    return Key(secret) if secret is not None and len(secret) == KEY_BYTES else None


def _encrypted(lines: list[str], path: Path, environ: Mapping[str, str]) -> Key | ConfigError | None:
    box = _bytes(lines[3])
    setting = ScryptSetting.parse(lines[2].removeprefix("scrypt: ")) if lines[2].startswith("scrypt: ") else None
    if box is None or len(box) != passphrase.BOX_BYTES or setting is None:
        return None
    if not has_passphrase(environ):
        return ConfigError(f"key file {path} is encrypted: set {PASSPHRASE_VARIABLE} to its passphrase")
    header = "".join(f"{line}\n" for line in lines[:3]).encode()
    kek = passphrase.decrypt(box, environ, setting, header)
    return kek or ConfigError(
        f"key file {path} cannot be opened: {PASSPHRASE_VARIABLE} is not its passphrase, or the file is damaged"
    )


def _bytes(line: str) -> bytes | None:
    """What a `key:` line holds, if it is written in the one right way: the decoder ignores spare bits."""
    try:
        secret = base64.b64decode(line.removeprefix("key: "), validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if line == f"key: {base64.b64encode(secret).decode()}" else None


def _read_private(path: Path) -> bytes | ConfigError:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # NONBLOCK: a FIFO must not hang the start
    except OSError as error:
        return ConfigError(f"key file {path} cannot be opened: {error.strerror}")
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            return ConfigError(f"key file {path} is not a regular file")
        if stat.S_IMODE(mode) & ~_MODE:
            return ConfigError(f"key file {path} has mode {stat.S_IMODE(mode):04o}; it must be 0600 or narrower")
        return os.read(descriptor, _MAX_FILE_BYTES)
    except OSError as error:
        return ConfigError(f"key file {path} cannot be read: {error.strerror}")
    finally:
        os.close(descriptor)
