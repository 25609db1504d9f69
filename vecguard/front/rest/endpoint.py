"""One row of the table: an HTTP method and path, and how it becomes one gRPC call and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from vecguard.front.rest.body import Receive
from vecguard.front.rest.decoding import Body
from vecguard.model import UNKNOWN_PEER, Peer
from vecguard.pipeline import Session

Tree: TypeAlias = Any
"""What orjson writes: dicts, lists, leaves, numpy arrays."""
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as it has been read: path and query parameters by name, and the body as its model.

    `sent` is the gRPC message made of it, once there is one: what an answer shows may depend on what was asked.
    """

    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any = None
    sent: Message | None = None

    @property
    def collection(self) -> str:
        """The collection that the path names."""
        return self.path["collection_name"]


@dataclass(frozen=True, slots=True)
class Text:
    """An answer in plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bare:
    """An answer without the envelope of result, status and time."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that becomes a call of `rpc`. `about` says what is particular, for docs/compatibility.md."""

    method: str
    path: str
    rpc: str
    reply: type[Message]
    ask: Callable[[Request], Message]
    answer: Callable[[Any, Request], Tree]
    query: tuple[str, ...] = ()
    body: Body[Any] | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An endpoint that is refused (501), and why: gRPC, by which the database is reached, has nothing like it."""

    method: str
    path: str
    about: str


@dataclass(frozen=True, slots=True)
class Alive:
    """An endpoint that says no more than that this process answers: nothing is asked of anybody."""

    method: str
    path: str
    text: str
    about: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a transfer has of its request: parameters, headers, the ways to its body and to the client, and the caller.

    `send` takes the events of an ASGI response.
    """

    path: Mapping[str, str]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    receive: Receive
    send: Send
    peer: Peer = UNKNOWN_PEER


@dataclass(frozen=True, slots=True)
class Transfer:
    """An endpoint whose request or answer is a file, for principals with the admin action.

    `serve` returns the result to answer with, or None when it has answered itself.
    """

    method: str
    path: str
    serve: Callable[[Incoming, Session], Awaitable[Tree | None]]
    query: tuple[str, ...]
    about: str


AnyEndpoint: TypeAlias = Endpoint | Refused | Alive | Transfer
READ: Final = ("consistency", "timeout")
WRITE: Final = ("wait", "ordering", "timeout")
