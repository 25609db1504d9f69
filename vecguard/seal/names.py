"""Field names encrypted into other names, reversible without a table: AES-SIV, so that a name can be asked for.

A name is bound to the map that it stands in. So the same name in the same place always becomes the same text, and in
another place another one.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import Key
from vecguard.seal.leaf import decode_leaf, encode_leaf

PREFIX: Final = "n"
"""What every hidden name begins with, as bare keys of paths and names of fields may not begin with a digit."""

# Of a box of 32 bytes, the shortest.
_SHORTEST: Final = 52
TEXT: Final = re.compile(rf"\b{PREFIX}[a-z2-7]{{{_SHORTEST},}}\b")
"""What looks like a hidden name within a text."""

_SIV_KEY_BYTES: Final = 64
_QUANTUM: Final = 8
# Names come from clients, so what is remembered of them is bounded.
_REMEMBERED: Final = 8192


class NameCipher:
    """Hides and shows the field names of one collection, under a key that it keeps for good."""

    def __init__(self, key: Key, collection_uuid: bytes) -> None:
        self._siv = AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "aes-siv"))
        self._uuid = collection_uuid
        self.hide = lru_cache(maxsize=_REMEMBERED)(self._hide)
        self.show = lru_cache(maxsize=_REMEMBERED)(self._show)

    def _hide(self, place: str, name: str) -> str:
        """The name at rest, ASCII letters and digits that begin with a letter; `place` is the JSON Pointer of its map.

        AES-SIV (RFC 5297, 512-bit key) of the name as a leaf (`encode_leaf`), with one associated string,
        length-prefixed(collection uuid, place); in base32 (RFC 4648, section 6) of lower case without padding.

        Raises:
            InvalidArgument: the name is no valid Unicode.
        """
        box = self._siv.encrypt(encode_leaf(name), [length_prefixed(self._uuid, place.encode())])
        return PREFIX + _text(box)

    def _show(self, place: str, hidden: str) -> str:
        """The name that `hide` took for this place.

        Raises:
            Unreadable: it is none that `hide` made, or of another place or collection.
        """
        if not hidden.startswith(PREFIX):
            raise Unreadable
        box = _bytes(hidden.removeprefix(PREFIX))
        try:
            name = decode_leaf(self._siv.decrypt(box, [length_prefixed(self._uuid, place.encode())]))
        except (InvalidTag, ValueError):
            raise Unreadable from None
        if not isinstance(name, str):
            raise Unreadable
        return name


def _text(box: bytes) -> str:
    return base64.b32encode(box).decode().rstrip("=").lower()


def _bytes(text: str) -> bytes:
    """What `_text` took. Exactly one text stands for given bytes. Raises Unreadable."""
    try:
        box = base64.b32decode(text.upper() + "=" * (-len(text) % _QUANTUM))
    except (binascii.Error, ValueError):
        raise Unreadable from None
    if _text(box) != text:
        raise Unreadable
    return box
