"""Texts and vectors of a live collection, read through the proxy by the ordinary client of somebody who may read it.

The sample says what an attacker would gain who stole this collection: a part is taken for the records under attack,
another for what the attacker owns of the same kind. Questions are records themselves, so there are no judgements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from vecguard.audit.data import Sizes
from vecguard.audit.linear import unit
from vecguard.audit.scene import Corpus, Personal, Retrieval, Scene, Tell, Trainer
from vecguard.errors import ConfigError, InvalidArgument, Unavailable

Floats = NDArray[np.float32]

_PAGE = 500
_FEWEST = 400
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class LiveSource:
    """Where the sample comes from. `text_field` is the payload field that holds the text."""

    target: str
    collection: str
    text_field: str = "text"
    vector: str = ""
    api_key: str | None = None


def live_scene(source: LiveSource, sizes: Sizes, seed: int, train: Trainer, tell: Tell) -> Scene:
    """Sample the collection at random and make a scene of it.

    Raises:
        Unavailable: the proxy does not answer or refuses.
        ConfigError: the collection is too small for an audit.
        InvalidArgument: a record lacks the text or the vector.
    """
    wanted = sizes.victims + sizes.crowd + sizes.own + sizes.questions
    records = dict(_sample(source, wanted, tell))
    if len(records) < _FEWEST:
        raise ConfigError(f"{source.collection}: {len(records)} distinct texts; an audit takes at least {_FEWEST}")
    order = np.random.default_rng(seed).permutation(len(records)).tolist()
    texts = list(records)
    return _split([texts[i] for i in order], unit(np.stack(list(records.values()))[order]), source, sizes, seed, train)


def _split(texts: list[str], rows: Floats, source: LiveSource, sizes: Sizes, seed: int, train: Trainer) -> Scene:
    # In a small collection a fifth is attacked and a tenth asked for; crowd and attacker share what is left.
    attacked, asked = min(sizes.victims, len(texts) // 5), min(sizes.questions, len(texts) // 10)
    rest = len(texts) - attacked - asked
    others = min(sizes.crowd, rest * sizes.crowd // (sizes.crowd + sizes.own))
    ends = np.cumsum([attacked, others, min(sizes.own, rest - others)]).tolist()
    cuts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
    victims, crowd, own = (Corpus(tuple(texts[c]), ("",) * len(texts[c]), rows[c]) for c in cuts)
    nothing = np.zeros((0, rows.shape[1]), np.float32)
    questions = rows[ends[2] :][: sizes.questions]
    return Scene(
        name=source.collection,
        embedder="the collection's own",
        seed=seed,
        victims=victims,
        crowd=crowd,
        own=own,
        foreign=Corpus((), (), nothing),
        personal=Personal((), nothing),
        personal_own=Personal((), nothing),
        retrieval=Retrieval(rows[: ends[1]][: sizes.documents], questions, (frozenset(),) * len(questions)),
        train=train,
    )


def _sample(source: LiveSource, count: int, tell: Tell) -> Iterator[tuple[str, Floats]]:
    """Up to `count` distinct texts with their vectors, drawn at random by the database."""
    host, _, port = source.target.rpartition(":")
    client = QdrantClient(
        host=host or "127.0.0.1",
        grpc_port=int(port),
        prefer_grpc=True,
        check_compatibility=False,
        timeout=TIMEOUT_S,
        https=False,
        api_key=source.api_key,
    )
    try:
        seen, idle = set[str](), 0
        while len(seen) < count and idle < 3:
            before = len(seen)
            for text, vector in _page(client, source, count - len(seen)):
                if text not in seen:
                    seen.add(text)
                    yield text, vector
            idle = idle + 1 if len(seen) == before else 0
            tell(f"reading {source.collection}", len(seen), count)
    except grpc.RpcError as failure:
        details = getattr(failure, "details", lambda: "")()
        raise Unavailable(f"{source.target}: {source.collection} cannot be sampled: {details}") from None
    finally:
        client.close()


def _page(client: QdrantClient, source: LiveSource, missing: int) -> Iterator[tuple[str, Floats]]:
    draw = models.SampleQuery(sample=models.Sample.RANDOM)
    found = client.query_points(
        source.collection,
        query=draw,
        limit=min(_PAGE, max(missing, 1)),
        with_vectors=[source.vector] if source.vector else True,
        with_payload=[source.text_field],
    )
    for point in found.points:
        text: object = point.payload or {}
        for key in source.text_field.split("."):
            text = text.get(key) if isinstance(text, dict) else None
        vector = point.vector.get(source.vector) if isinstance(point.vector, dict) else point.vector
        if not isinstance(text, str) or not isinstance(vector, list):
            raise InvalidArgument(f"point {point.id} has no text in `{source.text_field}`, or no dense vector")
        yield text, np.asarray(vector, np.float32)
