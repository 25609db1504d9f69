"""The one tree of expected errors. Each maps to one gRPC status; anything else is a bug and answers INTERNAL.

`status` is the name of a `grpc.StatusCode` member, kept as text so that pure modules need not import grpc.
Messages go to clients: they name fields, modes and policy lines, never vectors, payload values or keys.
"""

from __future__ import annotations

from typing import ClassVar


class VecGuardError(Exception):
    """An expected failure with a text fit for the client."""

    status: ClassVar[str] = "INTERNAL"
    # Trailing metadata over gRPC; over HTTP, `retry-after` of it becomes a header.
    trailing: tuple[tuple[str, str | bytes], ...] = ()


class InvalidArgument(VecGuardError):
    """The request is malformed, or asks what the field's or vector's mode cannot answer."""

    status = "INVALID_ARGUMENT"


class UnknownField(InvalidArgument):
    """The message carries protobuf fields that this build does not know."""


class NotFound(VecGuardError):
    """A collection, alias, point or snapshot does not exist."""

    status = "NOT_FOUND"


class AlreadyExists(VecGuardError):
    """The thing to be created is there already."""

    status = "ALREADY_EXISTS"


class FailedPrecondition(VecGuardError):
    """The collection's state, manifest or policy does not allow the call."""

    status = "FAILED_PRECONDITION"


class Denied(VecGuardError):
    """The principal may not do this."""

    status = "PERMISSION_DENIED"


class Unauthenticated(VecGuardError):
    """The caller's credential is missing, malformed, or not one that the policy knows. Texts say no more than that."""

    status = "UNAUTHENTICATED"


class Blocked(Denied):
    """The principal was shut out by an operator."""


class Refused(VecGuardError):
    """The RPC or feature cannot be protected or served, so it is not forwarded."""

    status = "UNIMPLEMENTED"


class LimitExceeded(VecGuardError):
    """A limit of the policy is passed."""

    status = "RESOURCE_EXHAUSTED"


class RateExceeded(LimitExceeded):
    """The principal did too much in too short a time; it may come back after `retry_after_s` seconds."""

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        self.trailing = (("retry-after", str(retry_after_s)),)


class Suspended(VecGuardError):
    """Calls of the principal are refused for a time, for what detection found. The client is not told what that is."""

    def __init__(self, retry_after_s: int, *, denied: bool) -> None:
        super().__init__(f"calls of this caller are refused for now: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s
        self.status = "PERMISSION_DENIED" if denied else "RESOURCE_EXHAUSTED"  # type: ignore[misc]  # as the policy says
        self.trailing = (("retry-after", str(retry_after_s)),)


class Unavailable(VecGuardError):
    """The engine, the upstream or the key provider cannot be reached now."""

    status = "UNAVAILABLE"


class Unreadable(VecGuardError):
    """A sealed value, a protected vector or a manifest does not authenticate.

    Every cause looks alike to the client: one text, whatever went wrong.
    """

    status = "DATA_LOSS"
    TEXT: ClassVar[str] = "stored data could not be opened: it is damaged, was altered, or belongs to another key"

    def __init__(self) -> None:
        super().__init__(self.TEXT)


class RolledBack(Unreadable):
    """Records that open, but are not the newest: somebody put them back. To the client it looks as all that does not
    open. `ids` are theirs, as an operator would write them."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__()
        self.ids = ids


class Shredded(VecGuardError):
    """The keys of a collection were destroyed on purpose. `identity` is its uuid's bytes."""

    status = "FAILED_PRECONDITION"
    TEXT: ClassVar[str] = "the keys of this collection were destroyed: nothing in it can be read any more. Delete it"

    def __init__(self, identity: bytes) -> None:
        super().__init__(self.TEXT)
        self.identity = identity


class TenantShredded(VecGuardError):
    """The keys of one tenant of a collection were destroyed on purpose."""

    status = "FAILED_PRECONDITION"
    TEXT: ClassVar[str] = "the keys of this tenant were destroyed: nothing of it can be read or written any more"

    def __init__(self) -> None:
        super().__init__(self.TEXT)


class ConfigError(VecGuardError):
    """Settings, policy file or key file cannot be used; raised at start or reload, never during a call."""

    status = "FAILED_PRECONDITION"


class UpstreamFailure(VecGuardError):
    """The vector database answered with an error status, which is passed on as it came."""

    def __init__(self, status: str, details: str, trailing: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        super().__init__(details)
        self.status = status  # type: ignore[misc]  # one class for every status that an upstream may answer with
        self.trailing = trailing
