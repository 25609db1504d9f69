"""The vectors that a query is made of: its own, and those of stored points that it names by id, opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, NotFound, UpstreamFailure
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.scope import RECORD, UPDATED
from vecguard.front.qdrant.stages import Stage, id_message, key_of, vector_inputs
from vecguard.metric import FloatArray
from vecguard.pipeline import Session
from vecguard.rerank import PointId
from vecguard.shield import DenseShield, Shield, SparseShield, VectorShield

Place: TypeAlias = tuple[str, str]
Opened: TypeAlias = Mapping[Place, Mapping[PointId, wire.AnyVector | None]]


def place_of(stage: Stage, collection: str) -> Place:
    """Where a stage's example ids are looked up: collection and vector name."""
    if stage.lookup is None:
        return collection, stage.using
    lookup = stage.lookup
    return lookup.collection_name, lookup.vector_name if lookup.HasField("vector_name") else stage.using


async def open_examples(
    root: Stage, collection: str, session: Session, *, all_exist: bool, all_whole: bool = False
) -> Opened:
    """Exact vectors of every example that the tree names by id; None for a point without that vector.

    Examples whose vectors nobody can recover are left out: they can only be sent on as ids.

    Args:
        root: the tree.
        collection: the searched collection.
        session: opens collections.
        all_exist: refuse an example that does not exist, as Qdrant does in all but grouped queries.
        all_whole: refuse an example of a discovery that lacks the vector in the words of the older Discover.

    Raises:
        NotFound: a collection to look up in does not exist; or, with `all_exist`, a point.
        InvalidArgument: with `all_whole`, an example of a discovery lacks the vector.
        Denied: the principal may not read it.
    """
    wanted: dict[Place, dict[PointId, None]] = {}
    for stage in root.walk():
        if stage.query is None:
            continue
        for example in vector_inputs(stage.query):
            if example.WhichOneof("variant") == "id":
                wanted.setdefault(place_of(stage, collection), {})[key_of(example.id)] = None
    opened = {place: await _fetch(place, list(keys), session, all_exist) for place, keys in wanted.items()}
    if all_whole and root.kind in ("discover", "context"):
        for (_, name), vectors in opened.items():
            if None in vectors.values():
                raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
    return opened


async def _fetch(
    place: Place, keys: list[PointId], session: Session, all_exist: bool
) -> dict[PointId, wire.AnyVector | None]:
    collection, name = place
    try:
        entry = await session.open(collection, "read")
    except UpstreamFailure as failure:
        if failure.status == "NOT_FOUND":
            raise NotFound(f"Not found: Collection {collection} not found") from None
        raise
    ask = q.GetPoints(collection_name=collection, ids=[id_message(key) for key in keys])
    ask.with_payload.include.fields.extend((RECORD, UPDATED))
    ask.with_vectors.include.names.append(name)
    answer = await session.call("/qdrant.Points/Get", ask, q.GetResponse)
    found: dict[PointId, wire.AnyVector | None] = {key_of(point.id): None for point in answer.result}
    missing = next((key for key in keys if key not in found), None)
    if all_exist and missing is not None:
        raise NotFound(f"Not found: No point with id {missing} found")
    if entry.shield is None:
        for point in answer.result:
            for held, message in reveal.holders(point):
                if held == name:
                    found[key_of(point.id)] = wire.read(message)
        return found
    guard = entry.shield.vector(name)
    if isinstance(guard, DenseShield) and not guard.recoverable:
        return {}
    exact = reveal.open_vectors(entry.shield, answer.result, name)
    for position, vector in zip(exact.positions, exact.vectors, strict=True):
        found[key_of(answer.result[position].id)] = vector
    return found


class Example:
    """One vector that a query compares with. Its stored forms are made once, when they are first needed."""

    def __init__(self, exact: wire.AnyVector, guard: VectorShield) -> None:
        self.exact = exact
        self._guard = guard
        self._known: dict[int, wire.AnyVector] = {}

    def _mapped(self, part: int) -> wire.AnyVector:
        known = self._known.get(part)
        if known is None:
            known = self._known[part] = self._map(part)
        return known

    def _map(self, part: int) -> wire.AnyVector:
        if isinstance(self.exact, wire.Sparse):
            assert isinstance(self._guard, SparseShield)  # noqa: S101 - `Examples` saw to it
            return wire.Sparse(self._guard.query(self.exact.indices, part), self.exact.values)
        assert isinstance(self._guard, DenseShield)  # noqa: S101 - likewise
        if isinstance(self.exact, wire.Multi):
            return wire.Multi(self._guard.query(self.exact.rows, part))
        return wire.Dense(self._guard.query(self.exact.data[np.newaxis], part)[0])

    def protected(self, part: int) -> q.VectorInput:
        """The input that stands for it at rest, in records of `part`."""
        return wire.to_input(self._mapped(part))

    @property
    def framed(self) -> FloatArray:
        """It in the coordinates of opened `Candidates`: `(d,)`, or for a multivector `(rows, d)` float32."""
        # Sparse scores are exact upstream: there are no candidates to open.
        assert isinstance(self._guard, DenseShield)  # noqa: S101
        vector = self._mapped(self._guard.parts[0]) if self._guard.scores_rotated else self.exact
        return vector.rows if isinstance(vector, wire.Multi) else vector.data  # type: ignore[union-attr]


class Examples:
    """Inputs of one stage's query, as vectors that fit the searched vector name."""

    def __init__(self, stage: Stage, shield: Shield, collection: str, opened: Opened) -> None:
        self.guard = shield.vector(stage.using)
        self._name = stage.using
        self._place = place_of(stage, collection)
        self._same = self._place == (collection, stage.using)
        self._opened = opened

    def needs_id(self, message: q.VectorInput) -> bool:
        """Whether an input can only be sent on as an id, since nobody can recover the vector it means.

        Raises:
            InvalidArgument: and the id lies in another collection, or under another vector name.
        """
        guard = self.guard
        if message.WhichOneof("variant") != "id" or not isinstance(guard, DenseShield):
            return False
        if self._same and not guard.recoverable:
            return True
        if self._place in self._opened and not self._opened[self._place] and not self._same:
            raise InvalidArgument(
                f"examples cannot be taken from vector `{self._place[1]}` of `{self._place[0]}`: "
                "either no such point has it, or the policy says `recover: none` for it"
            )
        return False

    def example(self, message: q.VectorInput) -> Example:
        """One input as a vector of the searched kind and dimension.

        Raises:
            InvalidArgument: malformed, not finite, or of another kind or dimension.
            NotFound: it names a point that does not exist or lacks the vector.
        """
        given = wire.read_input(message)
        vector = self._of_point(key_of(given)) if isinstance(given, q.PointId) else given
        return Example(self._fitted(vector), self.guard)

    def known(self, messages: Iterable[q.VectorInput]) -> list[Example]:
        """The inputs as vectors, without points that lack this one (as Qdrant's recommend does).

        Raises:
            InvalidArgument: see `example`.
        """
        examples = []
        for message in messages:
            try:
                examples.append(self.example(message))
            except NotFound:
                continue
        return examples

    def _of_point(self, key: PointId) -> wire.AnyVector:
        found = self._opened.get(self._place, {})
        vector = found.get(key)
        if vector is None:
            raise NotFound(f'Not found: Vector with name "{self._place[1]}" for point not found')
        return vector

    def _fitted(self, vector: wire.AnyVector) -> wire.AnyVector:
        if isinstance(self.guard, SparseShield) != isinstance(vector, wire.Sparse):
            raise InvalidArgument("Wrong input: Conversion between sparse and regular vectors failed")
        if isinstance(self.guard, SparseShield) or isinstance(vector, wire.Sparse):
            return vector
        if self.guard.record.kind == "multi" and isinstance(vector, wire.Dense):
            vector = wire.Multi(vector.data[np.newaxis])
        if self.guard.record.kind == "dense" and isinstance(vector, wire.Multi):
            raise InvalidArgument("Wrong input: Conversion between multi and regular vectors failed")
        self.guard.check_dims(vector.data if isinstance(vector, wire.Dense) else vector.rows)
        return vector
