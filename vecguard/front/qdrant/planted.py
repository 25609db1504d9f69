"""Planted points in Qdrant's messages: found in what the database answers, and in what a client names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant.candidates import Candidates, open_candidates
from vecguard.front.qdrant.ids import holds_ids, ids_in
from vecguard.front.qdrant.reading import Batch, Goal, Probe
from vecguard.front.qdrant.scoring import Scoring
from vecguard.front.qdrant.stages import key_of
from vecguard.hidden import PlantedMet
from vecguard.seal.planted import PlantedId
from vecguard.session import Session
from vecguard.shield import Shield

_LISTS: Final = (q.QueryResponse, q.GetResponse)
_UUID_SIGNS: Final = 36


def planted_in(message: Message, shield: Shield) -> list[PlantedId]:
    """The planted ids within a message, at any depth; of a client's in whatever spelling."""
    numbers = shield.planted.numbers
    if isinstance(message, _LISTS):  # the answers that nearly every read is made of, with ids in their one form
        found = [one.id for one in message.result]
        ids: Iterable[q.PointId] = [one for one in found if (one.uuid or one.num) in numbers]
    elif isinstance(message, q.UpsertPoints):
        ids = (point.id for point in message.points)
    elif holds_ids(message.DESCRIPTOR):
        ids = ids_in(message)
    else:
        return []
    return [key for one in ids if (key := _key(one)) in numbers]


def _key(point_id: q.PointId) -> PlantedId:
    if point_id.num:
        return point_id.num
    text = point_id.uuid
    if len(text) == _UUID_SIGNS and text.islower():  # the spelling of answers
        return text
    try:
        key = key_of(point_id)
    except InvalidArgument:  # none that could be planted
        return ""
    return key if isinstance(key, int) else str(key)


class Decoys:
    """Planted points that a search reads among its candidates: left out, and held against what it answers."""

    def __init__(self, shield: Shield, collection: str, using: str, scoring: Scoring) -> None:
        self._shield, self._collection, self._using = shield, collection, using
        self._numbers = shield.planted.numbers
        self._batch = Batch(scoring.score, scoring.distance)

    def without(self, page: Sequence[q.ScoredPoint]) -> tuple[Sequence[q.ScoredPoint], Candidates]:
        """A page without them, opened.

        Raises:
            Unreadable, StaleEntry, InvalidArgument: see `open_candidates`.
        """
        numbers = self._numbers
        if not any(point.id.uuid in numbers or point.id.num in numbers for point in page):
            return page, open_candidates(self._shield, page, self._using)
        planted = [point for point in page if point.id.uuid in numbers or point.id.num in numbers]
        self._batch.add(planted, open_candidates(self._shield, planted, self._using))
        kept = [point for point in page if not (point.id.uuid in numbers or point.id.num in numbers)]
        return kept, open_candidates(self._shield, kept, self._using)

    def tell(self, session: Session, batch: Batch, goal: Goal, probes: Sequence[Probe]) -> None:
        """Tell the session which of them would have been answered.

        Raises:
            PlantedMet: they took the room of points that would have been, so that the search has to be run without.
        """
        if not len(self._batch):
            return
        if len(batch) < goal.wanted and not all(probe.exhausted for probe in probes):
            raise PlantedMet(self._collection, [_as_key(key) for key in self._batch.found])
        met = self._batch.as_good_as(batch.kth(goal))
        session.hidden.meet(self._collection, {self._numbers[_as_key(key)] for key in met}, named=frozenset())


def _as_key(key: object) -> PlantedId:
    return key if isinstance(key, int) else str(key)
