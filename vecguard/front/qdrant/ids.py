"""Point ids on their way to the database and back, where the policy says `ids: encrypted`.

Every id of Qdrant's API is a `PointId` message, wherever it stands. So all of them are found by their type, in what is
sent and in what is answered, and none can be forgotten; the rest of the front knows the client's ids alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.model import Caller
from vecguard.seal.ids import uuid_id
from vecguard.shield import Shield
from vecguard.upstream import Answer, Upstream

Sent = TypeVar("Sent", bound=Message)

_POINT_ID: Final = q.PointId.DESCRIPTOR.full_name


@cache
def _holds_ids(descriptor: Descriptor) -> bool:
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
    return below is not None and (below.full_name == _POINT_ID or _holds_ids(below))


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


def stored(message: Sent, shield: Shield) -> Sent:
    """The message with ids as they are stored; a copy, as what is sent may be sent again.

    Raises:
        InvalidArgument: an id is no UUID.
    """
    if shield.ids is None or not _holds_ids(message.DESCRIPTOR):
        return message
    copied = type(message)()
    copied.CopyFrom(message)
    _change(copied, shield.ids.encrypt_numbers, shield.ids.encrypt_uuids)
    return copied


def show(message: Message, shield: Shield) -> None:
    """Turn the ids of an answer into the client's, in place.

    Raises:
        Unreadable: an id is none that was stored.
    """
    if shield.ids is not None and _holds_ids(message.DESCRIPTOR):
        _change(message, shield.ids.decrypt_numbers, shield.ids.decrypt_uuids)


async def call(upstream: Upstream, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
    """Ask the database about one collection without a session; the client's ids on this side.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
    """
    found = await upstream.call(rpc, stored(message, shield), answer, Caller())
    show(found, shield)
    return found


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
