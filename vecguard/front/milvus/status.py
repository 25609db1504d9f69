"""Errors both ways: Milvus answers them inside its replies (`common.Status`), VecGuard raises them.

A failing status of the database becomes an `UpstreamFailure` that carries it, and passes on to the client as it came
(but for names of ours in its text). An error of VecGuard's own becomes a status with the code that Milvus uses for the
like (merr/errors.go of milvus-io/milvus, and the older `ErrorCode` of common.proto, which old clients look at).
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

from google.protobuf.message import Message

from vecguard.errors import RateExceeded, UpstreamFailure, VecGuardError
from vecguard.front.milvus import key_words
from vecguard.front.milvus.proto import STREAMS, c
from vecguard.pipeline import AnyRoute, Session
from vecguard.seal.envelope import TEXT_PREFIX
from vecguard.seal.names import TEXT as HIDDEN_NAME
from vecguard.upstream import Answer

_CARRIED: Final = "milvus-status-bin"
# Per status of ours: Milvus' code, and the older one.
_UNEXPECTED: Final = (65_535, 1)
_CODES: Final[dict[str, tuple[int, int]]] = {
    "INVALID_ARGUMENT": (1100, 5),
    "NOT_FOUND": (100, 4),
    "ALREADY_EXISTS": (1602, 1),
    "FAILED_PRECONDITION": (3000, 1),
    "PERMISSION_DENIED": (1401, 3),
    "UNIMPLEMENTED": (10, 1),
    "RESOURCE_EXHAUSTED": (1102, 5),
    "DATA_LOSS": _UNEXPECTED,
}
# A rate that was passed: clients wait and try again on this one.
_RATE_LIMIT: Final = (8, 49)
_NOT_FOUND: Final = _CODES["NOT_FOUND"]
_HIDDEN_IN_LISTS: Final = re.compile(r"(?:, |,| )?\b_vg\w*")
_ENCRYPTED: Final = re.compile(re.escape(TEXT_PREFIX) + r"[\w-]+")

Reply = TypeVar("Reply", bound=Message)


def client_text(text: str) -> str:
    """The text of one of the database's errors, without fields that clients do not know of, encrypted values and names.

    A refused expression is repeated by the database as it was sent there, with our tokens in it.
    """
    return HIDDEN_NAME.sub("<name>", _ENCRYPTED.sub("<encrypted>", _HIDDEN_IN_LISTS.sub("", text)))


def status_of(reply: Message) -> c.Status | None:
    """The status that a reply is or holds; None where its type has none."""
    if isinstance(reply, c.Status):
        return reply
    for field in reply.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.full_name == c.Status.DESCRIPTOR.full_name:
            found: c.Status = getattr(reply, field.name)
            return found
    return None


def is_failure(status: c.Status) -> bool:
    """Whether a status tells of an error, by either of its codes."""
    return bool(status.code) or bool(status.error_code)


def checked(reply: Reply) -> Reply:
    """The reply, if it tells of success.

    Raises:
        UpstreamFailure: it does not; carries the database's status.
    """
    status = status_of(reply)
    if status is None or not is_failure(status):
        return reply
    raise UpstreamFailure("UNKNOWN", client_text(status.reason), ((_CARRIED, status.SerializeToString()),))


def carried(error: VecGuardError) -> c.Status | None:
    """The database's status that an `UpstreamFailure` carries, in the client's words; None for any other error."""
    if not isinstance(error, UpstreamFailure):
        return None
    for key, value in error.trailing:
        if key == _CARRIED and isinstance(value, bytes):
            status = c.Status.FromString(value)
            status.reason = client_text(status.reason)
            status.detail = client_text(status.detail)
            for name, text in list(status.extra_info.items()):
                status.extra_info[name] = client_text(text)
            return status
    return None


def is_not_found(failure: UpstreamFailure) -> bool:
    """Whether the database said that there is no such collection."""
    status = carried(failure)
    if status is None:
        return False
    code, legacy = _NOT_FOUND
    return int(status.code) == code if status.code else int(status.error_code) == legacy


def failed(route: AnyRoute, error: VecGuardError) -> Message | None:
    """The reply that tells a Milvus client of an error; None where only a gRPC status can.

    An unreachable or failing transport stays a gRPC status, which clients know to try again, and so does a credential
    that is not valid, as with Milvus.
    """
    if route.rpc in STREAMS:
        return None
    reply: Message = route.reply()
    target = status_of(reply)
    if target is None:
        return None
    known = carried(error)
    if known is not None:
        target.CopyFrom(known)
        return reply
    if isinstance(error, UpstreamFailure) or error.status in ("UNAVAILABLE", "UNAUTHENTICATED"):
        return None
    code, legacy = _RATE_LIMIT if isinstance(error, RateExceeded) else _CODES.get(error.status, _UNEXPECTED)
    target.code, target.reason, target.detail = code, str(error), str(error)
    target.error_code = legacy
    return reply


async def ask(session: Session, rpc: str, message: Message, reply: type[Answer], *, planted: bool = False) -> Answer:
    """Send a message, already protected, to the database; `planted`: see `Session.call`.

    Raises:
        PlantedNamed, PlantedMet: see `Session.call`.
        UpstreamFailure: it cannot be reached, or its reply tells of an error (then with its status).
    """
    try:
        answer = await session.call(rpc, message, reply, planted=planted)
    except UpstreamFailure as failure:
        raise UpstreamFailure(
            failure.status, _in_clients_keys(str(failure), message, session), failure.trailing
        ) from None
    status = status_of(answer)
    if status is not None and is_failure(status):
        status.reason = _in_clients_keys(status.reason, message, session)
        status.detail = _in_clients_keys(status.detail, message, session)
        for name, text in list(status.extra_info.items()):
            status.extra_info[name] = _in_clients_keys(text, message, session)
    return checked(answer)


def _in_clients_keys(text: str, message: Message, session: Session) -> str:
    shield = session.shield_of(message)
    return client_text(text if shield is None else key_words.shown_text(text, message, shield))
