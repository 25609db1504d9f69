"""Point ids on their way to the database and back, where the policy says `ids: encrypted`.

Every id of Qdrant's API is a `PointId` message, wherever it stands. So all of them are found by their type, in what is
sent and in what is answered, and none can be forgotten; the rest of the front knows the client's ids alone.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.seal.id_cipher import IdCipher
from vecguard.seal.ids import uuid_id

_POINT_ID: Final = q.PointId.DESCRIPTOR.full_name
_NUMBERS: Final = 2**64
# As Qdrant says it (`OperationError::PointIdError`).
_MISSING: Final = re.compile(
    r"(?<=No point with id )(?:(?P<number>[0-9]+)|(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))(?![\w-])"
)


@cache
def holds_ids(descriptor: Descriptor) -> bool:
    """Whether a message of this type can have a point id anywhere within."""
    seen, waiting = {descriptor.full_name}, [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            below = field.message_type
            if below is None or below.full_name in seen:
                continue
            if below.full_name == _POINT_ID:
                return True
            seen.add(below.full_name)
            waiting.append(below)
    return False


@cache
def _leading(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message through which point ids are reached."""
    return tuple(field for field in descriptor.fields if _leads(field.message_type))


def _leads(below: Descriptor | None) -> bool:
    return below is not None and (below.full_name == _POINT_ID or holds_ids(below))


def ids_in(message: Message) -> Iterator[q.PointId]:
    """Every point id within a message, at any depth."""
    if isinstance(message, q.PointId):
        yield message
        return
    for field in _leading(message.DESCRIPTOR):
        if not field.is_repeated:
            if message.HasField(field.name):
                yield from ids_in(getattr(message, field.name))
            continue
        held = getattr(message, field.name)
        for item in held.values() if isinstance(held, Mapping) else held:
            yield from ids_in(item)


def encrypt(message: Message, cipher: IdCipher) -> None:
    """Turn a client's ids in a message into those at rest, in place.

    Raises:
        InvalidArgument: an id is no UUID.
    """
    _change(message, cipher.encrypt_numbers, cipher.encrypt_uuids)


def decrypt(message: Message, cipher: IdCipher) -> None:
    """Turn the ids of an answer into the client's, in place."""
    _change(message, cipher.decrypt_numbers, cipher.decrypt_uuids)


def shown_text(details: str, cipher: IdCipher) -> str:
    """The text of one of the database's errors, with the stored id of a point that it misses as the client knows it."""

    def one(found: re.Match[str]) -> str:
        number, text = found["number"], found["uuid"]
        if number is not None:
            return str(cipher.decrypt_numbers([int(number)])[0]) if int(number) < _NUMBERS else found[0]
        return str(uuid.UUID(bytes=cipher.decrypt_uuids([uuid.UUID(text).bytes])[0]))

    return _MISSING.sub(one, details)


def _change(
    message: Message, numbers: Callable[[list[int]], list[int]], uuids: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Replace all ids of a message, those of a kind together. One without a value stays."""
    by_number: list[q.PointId] = []
    by_uuid: list[q.PointId] = []
    for one in ids_in(message):
        kind = one.WhichOneof("point_id_options")
        if kind is not None:
            (by_number if kind == "num" else by_uuid).append(one)
    if by_number:
        for one, number in zip(by_number, numbers([one.num for one in by_number]), strict=True):
            one.num = number
    if by_uuid:
        for one, content in zip(by_uuid, uuids([uuid_id(one.uuid)[1:] for one in by_uuid]), strict=True):
            one.uuid = str(uuid.UUID(bytes=content))
