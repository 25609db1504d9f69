"""An error of the database names points as the client does, by the collection that the failed message was about."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import UpstreamFailure
from vecguard.front.qdrant import translation
from vecguard.keys.key import Key
from vecguard.model import ANONYMOUS, Caller
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.seal.id_cipher import IdCipher
from vecguard.session import Session
from vecguard.upstream import Answer

CIPHERS = {name: IdCipher(Key(bytes([number]) * 32)) for number, name in enumerate(("notes", "other"))}


@dataclass
class Missing:
    """A database that misses the first point that it is asked for, and says so in its own ids."""

    async def call(self, rpc: str, message: Message, answer: type[Answer], caller: Caller) -> Answer:
        assert isinstance(message, q.GetPoints)
        missing = f"Not found: No point with id {message.ids[0].num} found"
        raise UpstreamFailure("NOT_FOUND", missing, (("retry-after", "1"),))


def opened(name: str, cipher: IdCipher | None) -> SimpleNamespace:
    """As much of an entry as is asked for here."""
    return SimpleNamespace(
        asked=name, name=name, shield=SimpleNamespace(ids=cipher, fresh=None, fields=SimpleNamespace(names=None))
    )


@pytest.mark.parametrize("name", ["notes", "other", "plain"])
def test_of_several_collections_each_has_ids_of_its_own(name: str) -> None:
    session = Session(ANONYMOUS, DEFAULT_POLICY, None, Missing(), deadline=None, size=0).translated(translation)  # type: ignore[arg-type]
    session.opened += [opened(one, CIPHERS.get(one)) for one in ("notes", "other", "plain")]  # type: ignore[misc]
    ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=42)])
    with pytest.raises(UpstreamFailure, match=r"^Not found: No point with id 42 found$") as caught:
        asyncio.run(session.send("/qdrant.Points/Get", ask, q.GetResponse))
    assert (caught.value.status, caught.value.trailing) == ("NOT_FOUND", (("retry-after", "1"),))
    assert ask.ids[0].num == 42  # what the client sent is as it was
