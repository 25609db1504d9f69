"""What a session is given by others: a front's ways with messages, and detection's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from google.protobuf.message import Message

from vecguard.model import Principal, Restraint
from vecguard.upstream import Answer

if TYPE_CHECKING:
    from vecguard.catalog import Entry
    from vecguard.hidden import PlantedId
    from vecguard.session import Session
    from vecguard.shield import Shield

Sent = TypeVar("Sent", bound=Message)


class Send(Protocol):
    """The way to the database for messages about one collection, translated."""

    async def __call__(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """The database's answer. Raises UpstreamFailure."""


class Restrict(Protocol):
    """A front's way of sending a message so that it sees and touches only records that satisfy `session.mandatory`."""

    async def __call__(self, session: Session, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """The database's answer.

        Raises:
            Denied: the call cannot be held to the conditions, or a write breaks them.
        """


class Damaged(Protocol):
    """A front's way of finding which of the records that a call has read do not open."""

    async def __call__(self, session: Session) -> dict[str, list[str]]:
        """Their ids, by collection as it is called, looked at once more and whole."""


class Admit(Protocol):
    """Detection's word on how a principal's calls on a collection are answered now."""

    async def __call__(self, principal: Principal, entry: Entry) -> Restraint:
        """What holds beside the role, after the delay that the policy has for this principal now.

        Raises:
            Suspended: the principal's calls are refused for a time.
        """


class Translation(Protocol):
    """What a front changes in every message on its way to the database, and back."""

    def collection_of(self, message: Message, metadata: tuple[tuple[str, str], ...]) -> str | None:
        """The collection that a message names, as it is called; None where it names none."""

    def stored(self, message: Sent, shield: Shield) -> Sent:
        """What is sent for a message about a protected collection; the message itself stays as it is."""

    def show(self, message: Message, shield: Shield) -> None:
        """Change an answer about a protected collection, in place."""

    def shown_text(self, details: str, shield: Shield) -> str:
        """The text of a status that the database answers a message about a protected collection with."""

    def planted(self, message: Message, shield: Shield) -> list[PlantedId]:
        """The ids of planted records within a message, as the client would know them."""

    async def watched(self, send: Send, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
        """Send a message about a collection of which it is remembered what is the newest, by `send`.

        Raises:
            RolledBack: a record that was read is not the newest.
            FailedPrecondition: nothing is remembered of the collection.
            Unavailable: what remembers is away.
            Refused, InvalidArgument: it writes what cannot be remembered.
            UpstreamFailure: the database says no, or cannot be reached.
        """
