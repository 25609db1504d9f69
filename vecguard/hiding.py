"""Calls that meet planted records: noted, told of where the caller named them, and run again without any."""

from __future__ import annotations

from google.protobuf.message import Message

from vecguard.call_record import Trail
from vecguard.errors import Unreadable
from vecguard.hidden import PlantedMet
from vecguard.session import Session


def without_planted(session: Session, met: PlantedMet, ask: Message, trail: Trail) -> None:
    """Note which planted records a call met, and have it leave out all of them when it is run again.

    `ask` is what the client asks.

    Raises:
        Unreadable: it was run again, and the database answers with them all the same.
    """
    entry = session.entries[met.collection]
    if set(met.ids) <= set(session.hidden.left_out.get(met.collection, ())):
        raise Unreadable
    assert entry.shield is not None  # noqa: S101 - its keys told that they are planted
    numbers = entry.shield.planted.numbers
    named = {numbers[one] for one in session.planted(ask)}
    session.hidden.meet(met.collection, [numbers[one] for one in met.ids], named=named)
    if named:
        tell_of_named(session, met.collection, len(named), trail)
    session.hidden.leave_out(met.collection, entry)


def tell_of_named(session: Session, collection: str, named: int, trail: Trail) -> None:
    """Tell the trail of a caller who named planted records of a collection, whose ids nobody was ever shown."""
    trail("canary", principal=session.principal.name, collection=session.entries[collection].name, named=named)
