"""Sampling a live collection through the proxy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from qdrant_client import models
from serving import Proxy

from audit.scenes import WordVectors
from vecguard.audit.data import Sizes
from vecguard.audit.inverters import trainer
from vecguard.audit.live import LiveSource, live_scene
from vecguard.demo.notes import make_notes
from vecguard.errors import ConfigError, InvalidArgument, Unavailable

SIZES = Sizes(victims=40, crowd=100, own=250, foreign=0, personal=0, documents=100, questions=20)


@pytest.fixture(scope="module")
def target(proxy: Callable[[str | None], Proxy]) -> str:
    """The address of a proxy with 420 notes in `audit-live`, and a few in `audit-few`."""
    notes = make_notes(420, 5)
    rows = WordVectors(32).embed([note.text for note in notes])
    client = proxy(None).client()
    for name, count in (("audit-live", 420), ("audit-few", 20)):
        client.create_collection(name, models.VectorParams(size=32, distance=models.Distance.COSINE))
        payloads = [{"note": {"text": note.text}} for note in notes[:count]]
        batch = models.Batch(ids=list(range(count)), vectors=rows[:count].tolist(), payloads=payloads)
        client.upsert(name, batch, wait=True)
    client.close()
    return proxy(None).target


@pytest.mark.slow
def test_a_collection_becomes_a_scene(target: str) -> None:
    told: list[int] = []
    source = LiveSource(target, "audit-live", "note.text")
    scene = live_scene(source, SIZES, 0, trainer(), lambda what, done, total: told.append(done))
    assert told[-1] == len({*scene.victims.texts, *scene.crowd.texts, *scene.own.texts}) + len(
        scene.retrieval.questions
    )
    assert not set(scene.victims.texts) & set(scene.own.texts)
    expected = WordVectors(32).embed(scene.victims.texts)
    assert abs(scene.victims.embeddings - expected).max() < 1e-4


@pytest.mark.slow
def test_what_cannot_be_sampled_is_said(target: str) -> None:
    with pytest.raises(ConfigError, match="at least 400"):
        live_scene(LiveSource(target, "audit-few", "note.text"), SIZES, 0, trainer(), lambda *_: None)
    with pytest.raises(InvalidArgument, match=r"note\.title"):
        live_scene(LiveSource(target, "audit-live", "note.title"), SIZES, 0, trainer(), lambda *_: None)
    with pytest.raises(Unavailable, match="nowhere"):
        live_scene(LiveSource(target, "nowhere", "note.text"), SIZES, 0, trainer(), lambda *_: None)
