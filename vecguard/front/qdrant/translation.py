"""What is changed in every message about a protected collection, last on the way to the database and first on the way
back: ids and field names, where the policy has them encrypted. The rest of the front knows the client's alone."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from google.protobuf.message import Message

from vecguard.front.qdrant import field_names, ids
from vecguard.front.qdrant.freshness import watched
from vecguard.front.qdrant.planted import planted_in
from vecguard.model import Caller
from vecguard.seal.planted import PlantedId
from vecguard.shield import Shield
from vecguard.upstream import Answer, Upstream

__all__ = ("call", "collection_of", "planted", "show", "shown_text", "stored", "unjudged", "watched")

Sent = TypeVar("Sent", bound=Message)


def collection_of(message: Message, metadata: tuple[tuple[str, str], ...]) -> str | None:
    """The collection that a message names; None where it names none."""
    del metadata
    return getattr(message, "collection_name", None)


def stored(message: Sent, shield: Shield) -> Sent:
    """The message with ids and names as they are stored; a copy, as what is sent may be sent again.

    Raises:
        InvalidArgument: an id is no UUID, or a path is none.
    """
    with_ids = shield.ids is not None and ids.holds_ids(message.DESCRIPTOR)
    hidden = shield.fields.names
    with_names = hidden is not None and field_names.holds_names(message)
    if not (with_ids or with_names):
        return message
    copied = type(message)()
    copied.CopyFrom(message)
    if with_ids and shield.ids is not None:
        ids.encrypt(copied, shield.ids)
    if with_names and hidden is not None:
        field_names.hide(copied, hidden)
    return copied


def show(message: Message, shield: Shield) -> None:
    """Turn the ids and names of an answer into the client's, in place.

    Raises:
        Unreadable: an id is none that was stored.
    """
    if shield.ids is not None and ids.holds_ids(message.DESCRIPTOR):
        ids.decrypt(message, shield.ids)
    if shield.fields.names is not None and field_names.holds_names(message):
        field_names.show(message, shield.fields.names)


def shown_text(details: str, shield: Shield) -> str:
    """The text of an error about a protected collection, with ids and names of fields as the client knows them."""
    if shield.ids is not None:
        details = ids.shown_text(details, shield.ids)
    return details if shield.fields.names is None else field_names.shown_text(details, shield.fields.names)


def planted(message: Message, shield: Shield) -> list[PlantedId]:
    """The ids of planted points within a message, as the client would know them."""
    return planted_in(message, shield)


async def call(upstream: Upstream, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
    """Ask the database about one collection without a session; the client's ids and names on this side.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
        RolledBack, FailedPrecondition, Unavailable, Refused, InvalidArgument: see `watched`.
    """
    if shield.fresh is None:
        return await unjudged(rpc, message, answer, upstream=upstream, shield=shield)
    return await watched(partial(unjudged, upstream=upstream, shield=shield), rpc, message, answer, shield)


async def unjudged(rpc: str, message: Message, answer: type[Answer], *, upstream: Upstream, shield: Shield) -> Answer:
    """`call`, whether or not what is answered is the newest. Raises UpstreamFailure."""
    found = await upstream.call(rpc, stored(message, shield), answer, Caller())
    show(found, shield)
    return found
