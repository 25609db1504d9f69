"""`AlterIndex` takes settings of loading alone where a collection is protected: no path, no type, no value in clear."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from google.protobuf.message import Message

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.table import ROUTES
from vecguard.pipeline import Session
from vecguard.upstream import Answer

ALTER = ROUTES[rpc("AlterIndex")]


@dataclass(frozen=True)
class Opened:
    """As much of an entry as is asked for here."""

    shield: object | None


class Forgetful:
    """A catalog that counts how often it was told to forget."""

    times = 0

    def forget(self) -> None:
        self.times += 1


class Asked(Session):
    """A session that takes down what would be sent."""

    def __init__(self, shield: object | None) -> None:
        self._entry, self.sent, self.metadata, self.catalog = Opened(shield), list[Message](), (), Forgetful()  # type: ignore[assignment]

    async def open(self, name: str, action: str, *, of_all: bool = False) -> Opened:  # type: ignore[override]
        assert (name, action, of_all) == ("notes", "write", True)
        return self._entry

    def shield_of(self, message: Message) -> None:
        return None

    async def call(self, rpc: str, message: Message, answer: type[Answer], *, planted: bool = False) -> Answer:
        self.sent.append(message)
        return answer()


def altered(session: Asked, *keys: str, deleted: tuple[str, ...] = ()) -> list[Message]:
    pairs = [c.KeyValuePair(key=key, value="true") for key in keys]
    ask = m.AlterIndexRequest(collection_name="notes", index_name="i", extra_params=pairs, delete_keys=deleted)
    asyncio.run(ALTER.serve(ask, session))
    return session.sent


@pytest.mark.parametrize("key", ["mmap.enabled", "indexoffsetcache.enabled", "warmup"])
def test_settings_of_loading_pass(key: str) -> None:
    session = Asked(object())
    assert len(altered(session, key)) == 1
    assert len(altered(session, deleted=(key,))) == 2
    assert session.catalog.times == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["json_path", "json_cast_type", "index_type", "metric_type", "params", ""])
def test_anything_else_is_refused_on_a_protected_collection(key: str) -> None:
    session = Asked(object())
    for ask in (lambda: altered(session, "mmap.enabled", key), lambda: altered(session, deleted=(key,))):
        with pytest.raises(InvalidArgument, match="cannot be altered on an index of a protected collection"):
            ask()
    assert session.sent == []


def test_a_collection_in_clear_is_the_clients_own() -> None:
    assert len(altered(Asked(None), "json_path")) == 1
