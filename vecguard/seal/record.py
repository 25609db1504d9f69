"""A stored point's record as one text: which manifest it was written under, and the entry of each of its vectors.

One short ASCII text rather than a map of texts: databases keep, index and answer it at a fraction of the cost, and it
fits a column of text. The form is that of docs/formats.md §8: `vgr1.<manifest>.<token>`, and for each vector
`.<name>.<entry>`; all but the manifest in base64url.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from vecguard.errors import Unreadable
from vecguard.seal import base64url

_FORMAT: Final = "vgr1"
_FIELDS_BEFORE: Final = 3
# Vector names come from collections' manifests, but also from whoever writes to the database, so few are remembered.
_REMEMBERED: Final = 256
_HEX_DIGITS: Final = "0123456789abcdef"
_MANIFEST_DIGITS: Final = 16


class Record(NamedTuple):
    """What a record says.

    `manifest` is the short id of the manifest that it was written under; `entries` are by vector name; `token` are the
    bytes that the entries are bound to where the point's id was not known when they were made, else empty.
    """

    manifest: str
    entries: dict[str, bytes]
    token: bytes = b""


@lru_cache(maxsize=_REMEMBERED)
def _name_digits(name: str) -> str:
    return base64url.encode(name.encode())


@lru_cache(maxsize=_REMEMBERED)
def _name(digits: str) -> str:
    try:
        return base64url.decode(digits).decode()
    except UnicodeDecodeError:
        raise Unreadable from None


@lru_cache(maxsize=_REMEMBERED)
def head_of(manifest: str, name: str) -> str:
    """What stands before the entry in the record of a point that has no other vector than `name`."""
    return f"{_FORMAT}.{manifest}..{_name_digits(name) if name else ''}."


def encode(manifest: str, entries: Mapping[str, bytes], token: bytes = b"") -> str:
    """The record's text; only letters and digits of ASCII, `-`, `_` and `.`.

    Args:
        manifest: 16 lower-case hexadecimal digits (`Manifest.short_id`).
        entries: by vector name, which is any text, also the empty one.
        token: what the entries are bound to instead of the point's id; empty where they are bound to that.
    """
    if len(entries) == 1 and not token:  # nearly every point
        ((name, entry),) = entries.items()
        return head_of(manifest, name) + base64url.encode(entry)
    parts = [_FORMAT, manifest, base64url.encode(token) if token else ""]
    for name, entry in entries.items():
        parts += (_name_digits(name) if name else "", base64url.encode(entry))
    return ".".join(parts)


def decode(text: str) -> Record:
    """What `encode` took. Who wrote it is not said by this: the entries are what authenticates.

    Raises:
        Unreadable: not what `encode` writes, or of another format version, or it names a vector twice.
    """
    parts = text.split(".")
    if parts[0] != _FORMAT or len(parts) < _FIELDS_BEFORE or not len(parts) % 2:
        raise Unreadable
    manifest, token = parts[1], parts[2]
    if len(manifest) != _MANIFEST_DIGITS or manifest.strip(_HEX_DIGITS):
        raise Unreadable
    entries = {}
    for i in range(_FIELDS_BEFORE, len(parts), 2):
        name = parts[i]
        entries[_name(name) if name else ""] = base64url.decode(parts[i + 1])
    if 2 * len(entries) + _FIELDS_BEFORE != len(parts):
        raise Unreadable
    return Record(manifest, entries, base64url.decode(token) if token else b"")
