"""A ledger of what a collection held when it was looked at: what one look alone cannot find, two can.

A record's own authentication says that its parts belong to it, not that they are its latest ones, nor that none is
missing. A ledger keeps, outside the database, a keyed digest of every whole record. The next look compares: what was
changed, added or removed meanwhile, and what *returned* to a state that it had left before, which a client's write
does not bring about where a field is sealed, as sealing never gives the same text twice.

The file is of text lines and authenticated as a whole; it tells ids, and nothing of what records hold.
docs/formats.md §14 has every byte.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vecguard.errors import ConfigError, FailedPrecondition
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest
from vecguard.seal import base64url

_FORMAT: Final = "vecguard ledger 1"
_PURPOSE: Final = "ledger"
_DIGEST_BYTES: Final = 16
_REMEMBERED: Final = 8
"""Digests that are kept of a record: the last one and those before."""
_DAMAGED: Final = "is damaged, or was altered, or belongs to another collection or key"


class Digester:
    """Keyed digests of the records of one collection, under its current key epoch."""

    def __init__(self, manifest: Manifest, ring: KeyRing) -> None:
        """Take the collection's identity and keys."""
        self.uuid = manifest.uuid.hex
        self.epoch = ring.current
        self._key = ring.subkey(ring.current, _PURPOSE, self.uuid).expose()

    def digest(self, key: str, content: bytes) -> str:
        """The first 16 bytes of HMAC-SHA256 of the record's id and content, as base64url."""
        tag = hmac.digest(self._key, length_prefixed(b"record", key.encode(), content), "sha256")
        return base64url.encode(tag[:_DIGEST_BYTES])

    def seal(self, lines: str) -> str:
        """The tag of a ledger's lines, as base64url."""
        return base64url.encode(hmac.digest(self._key, length_prefixed(b"ledger", lines.encode()), "sha256"))


@dataclass
class Changes:
    """Ids of records by what became of them since the ledger was written."""

    changed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)

    @property
    def none(self) -> bool:
        """Whether the collection holds what it held."""
        return not (self.changed or self.added or self.removed or self.returned)


class Ledger:
    """Digests by id: those of an earlier look, and of the one that is under way."""

    def __init__(self, digester: Digester, known: Mapping[str, list[str]], taken: str | None = None) -> None:
        """`known` are digests of earlier looks, the latest first; `taken` is when the last one was."""
        self._digester = digester
        self._known = known
        self._now: dict[str, list[str]] = {}
        self.taken = taken
        self.changes = Changes()

    @classmethod
    def load(cls, file: Path, digester: Digester) -> Ledger:
        """The ledger in `file`; an empty one where there is no such file yet.

        Raises:
            ConfigError: it cannot be read, or does not authenticate.
            FailedPrecondition: it is from before a rotation of the data key, which changed every record.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(digester, {})
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"ledger {file} cannot be read") from None
        body, _, tag = text.rstrip("\n").rpartition("\n")
        head, *lines = (_parsed(file, line) for line in body.split("\n"))
        if not isinstance(head, dict) or head.get("format") != _FORMAT or head.get("uuid") != digester.uuid:
            raise ConfigError(f"ledger {file} {_DAMAGED}")
        if head.get("epoch") != digester.epoch:
            raise FailedPrecondition(
                f"ledger {file} was written under key epoch {head.get('epoch')}, and the collection's data key was "
                "rotated since, which changed every record: begin a new ledger"
            )
        if not hmac.compare_digest(tag, digester.seal(f"{body}\n")):
            raise ConfigError(f"ledger {file} {_DAMAGED}")
        return cls(digester, {key: digests for key, *digests in lines}, head.get("taken"))

    def record(self, key: str, content: bytes) -> None:
        """Note a record of the look that is under way; one that was noted before counts once, as it is now."""
        digest = self._digester.digest(key, content)
        earlier = self._known.get(key, [])
        history = earlier if earlier[:1] == [digest] else [digest, *(old for old in earlier if old != digest)]
        if key not in self._now:
            self._compare(key, digest, earlier)
        self._now[key] = history[:_REMEMBERED]

    def _compare(self, key: str, digest: str, earlier: list[str]) -> None:
        if self.taken is None or earlier[:1] == [digest]:
            return
        if digest in earlier:
            self.changes.returned.append(key)
        elif earlier:
            self.changes.changed.append(key)
        else:
            self.changes.added.append(key)

    def finish(self) -> Changes:
        """What became of all records, once the look is over."""
        self.changes.removed = [key for key in self._known if key not in self._now]
        return self.changes

    def save(self, file: Path) -> None:
        """Write the look that is over, in place of the one before: whole, or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        head = {"epoch": self._digester.epoch, "format": _FORMAT, "taken": _now(), "uuid": self._digester.uuid}
        lines = _lines([head, *([key, *digests] for key, digests in self._now.items())])
        fresh = file.with_name(f"{file.name}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(f"{lines}{self._digester.seal(lines)}\n")
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(file)
        except OSError as fault:
            raise ConfigError(f"ledger {file} cannot be written: {fault.strerror}") from None


def _lines(rows: Iterable[object]) -> str:
    return "".join(f"{json.dumps(row, separators=(',', ':'), sort_keys=True)}\n" for row in rows)


def _parsed(file: Path, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise ConfigError(f"ledger {file} {_DAMAGED}") from None


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()
