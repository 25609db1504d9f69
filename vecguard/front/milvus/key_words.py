"""Primary keys in the texts of a database's errors, as the client knows them, where the policy says `ids: encrypted`.

A database repeats what it was asked (a refused expression, a key that is there twice), and was asked for stored keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from vecguard.errors import Unreadable
from vecguard.front.milvus.layout import VARCHAR, layout_of
from vecguard.seal.id_cipher import IdCipher
from vecguard.shield import Shield

_NUMBER: Final = re.compile(r"(?<![\w.])-?[0-9]{1,20}(?![\w.])")
# What `IdCipher.encrypt_texts` makes: 16 bytes and more, as base64url.
_TEXT: Final = re.compile(r"(?<![\w-])[\w-]{22,}(?![\w-])")
_LEAST, _MOST = -(2**63), 2**63 - 1
# Parts of a request in which a client names keys in words, or lists them.
_IN_WORDS: Final = frozenset({"expr", "dsl"})
_LISTED: Final = frozenset({"requests", "ids", "IDs", "expr_template_values"})


def shown_text(details: str, message: Message, shield: Shield) -> str:
    """The text of an error about `message`, which is as the client sent it, with the client's own keys.

    A text says by itself whether it is a stored key. A number does not, so one is changed only where the key that it
    would be stands in the message.
    """
    if shield.ids is None:
        return details
    cipher, primary = shield.ids, layout_of(shield).primary
    if primary.data_type == VARCHAR:
        return _TEXT.sub(lambda found: _text_of(found[0], cipher), details)
    stored = {int(found[0]) for found in _NUMBER.finditer(details)}
    keys = {number: cipher.decrypt_signed([number])[0] for number in stored if _LEAST <= number <= _MOST}
    asked = set(_numbers(message, primary.name)) if keys else set[int]()
    known = {number: key for number, key in keys.items() if key in asked}
    return _NUMBER.sub(lambda found: str(known.get(int(found[0]), found[0])), details)


def _text_of(stored: str, cipher: IdCipher) -> str:
    try:
        return cipher.decrypt_texts([stored])[0]
    except Unreadable:
        return stored


def _numbers(message: Message, primary: str) -> Iterator[int]:
    """The numbers of a request that can be keys."""
    for field, value in message.ListFields():
        if field.name in _IN_WORDS:
            yield from (int(found[0]) for found in _NUMBER.finditer(value))
        elif field.name == "fields_data":
            for column in value:
                if column.field_name == primary:
                    yield from column.scalars.long_data.data
        elif field.name in _LISTED:
            yield from _all_numbers(value)
        elif field.name == "int_id":
            yield from value.data


def _all_numbers(part: object) -> Iterator[int]:
    """Every whole number within lists, maps and messages."""
    if isinstance(part, int):
        yield part
    elif isinstance(part, str):
        yield from (int(found[0]) for found in _NUMBER.finditer(part))
    elif isinstance(part, Message):
        for _, value in part.ListFields():
            yield from _all_numbers(value)
    elif isinstance(part, Mapping):
        yield from _all_numbers(list(part.values()))
    elif isinstance(part, Sequence) and not isinstance(part, bytes):
        for value in part:
            yield from _all_numbers(value)
