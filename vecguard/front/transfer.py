"""Carrying a collection from one place to another: what every front says of one, and its records as plain values.

A collection is read and written through the front's own table, as a client would, so that protection is made and
undone in one place only. Records travel as Python values and numpy arrays: so they can also go from one protocol's
database to another's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from vecguard.metric import Distance
from vecguard.pipeline import Pipeline
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import Shield

Reply = TypeVar("Reply", bound=Message)
Floats: TypeAlias = NDArray[np.float32]
Key: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: `indices` `(n,)` uint32, ascending, and `values` `(n,)` float32."""

    indices: NDArray[np.uint32]
    values: Floats


Vector: TypeAlias = Floats | Sparse
"""Dense `(d,)`, a multivector `(rows, d)`, or sparse."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record as its clients see it: its vectors by name (those that it has), and its payload as JSON values."""

    key: Key
    vectors: Mapping[str, Vector]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VectorShape:
    """A vector as it was declared: `dims` is 0 for sparse ones; `half`: in 16-bit floats."""

    name: str
    kind: Literal["dense", "multi", "sparse"]
    dims: int
    distance: Distance
    half: bool = False


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A collection as its clients declared it.

    `keys` says what its records' keys are, and `key_name` what they are called where they have a name; `native` is the
    front's own description of it, whole.
    """

    front: str
    vectors: tuple[VectorShape, ...]
    keys: Literal["number", "text", "either"]
    key_name: str = ""
    native: Sequence[bytes] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in the order of their keys, and where to go on after them; None after the last."""

    rows: Sequence[Row]
    after: str | None


class Transfer(Protocol):
    """One collection, by name, as an operator's command reads and writes it through a front.

    Every method raises UpstreamFailure where the database says no or cannot be reached, and what the front raises.
    """

    name: str

    async def blueprint(self) -> Blueprint:
        """What the collection is.

        Raises:
            Refused: it cannot be carried over; says why.
        """

    async def is_there(self) -> bool:
        """Whether there is a collection or alias of that name."""

    async def make(self, blueprint: Blueprint) -> None:
        """Make the collection after another one's blueprint, with its indexes; all of it or nothing.

        Raises:
            Refused, InvalidArgument: it cannot be made here; says why.
        """

    async def drop(self) -> None:
        """Remove the collection."""

    async def count(self) -> int:
        """How many records there are."""

    def pages(self, after: str | None, vectors: Sequence[str] | None = None) -> AsyncIterator[Page]:
        """All records, or those that come after a page, with the vectors of these names (None: all)."""

    async def read(self, keys: Sequence[Key], vectors: Sequence[str]) -> dict[Key, Row]:
        """Those of the records that are there, with the vectors of these names."""

    async def write(self, rows: Sequence[Row], *, anew: bool) -> None:
        """Write records; `anew`: some may be there already, and are replaced."""

    async def delete(self, keys: Sequence[Key]) -> None:
        """Delete records."""

    def vector_name(self, name: str) -> str:
        """What another place's vector is called here."""

    def fitted(self, row: Row, blueprint: Blueprint) -> Row:
        """Another place's record as it is written here, and read back.

        Raises:
            Refused: it has no place here; says why.
        """

    async def take_over(self, name: str, old: Transfer, aside: str) -> str:
        """Have `name` mean this collection instead of `old`, in steps that may be run again from any point. Says what
        became of the old one, for which `aside` is a free name."""

    def scratch(self, blueprint: Blueprint, policy: CollectionPolicy) -> Shield:
        """The protection of such a collection under `policy`, with keys that nobody else has."""

    def sizes(self, rows: Sequence[Row], blueprint: Blueprint, shield: Shield | None) -> tuple[int, int]:
        """Bytes of these records' messages in clear, and as they are sent to the database."""


class Desk:
    """A pipeline, asked from within the process: message in, message out."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def call(self, rpc: str, message: Message, reply: type[Reply]) -> Reply:
        """One call.

        Raises:
            VecGuardError: as a client would get it.
        """
        return reply.FromString(await self._pipeline.handle(rpc, message.SerializeToString(), {}, None))
