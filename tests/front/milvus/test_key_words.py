"""Keys in the texts of errors are the client's: a number only where the client named it, a text by what it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from google.protobuf.message import Message

from vecguard.errors import UpstreamFailure
from vecguard.front.milvus import key_words
from vecguard.front.milvus.layout import INT64, VARCHAR
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.status import ask, carried
from vecguard.keys.key import Key
from vecguard.pipeline import Session
from vecguard.seal.id_cipher import IdCipher
from vecguard.upstream import Answer

CIPHER = IdCipher(Key(bytes(32)))
KEYS = [7, -3, 2**62]
STORED = CIPHER.encrypt_signed(KEYS)


@dataclass(frozen=True)
class Primary:
    data_type: int
    name: str = "pk"


@dataclass(frozen=True)
class Layout:
    primary: Primary


@dataclass(frozen=True)
class Shielded:
    """As much of a shield as is asked for here."""

    ids: IdCipher | None
    kind: int


@pytest.fixture(autouse=True)
def layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_words, "layout_of", lambda shield: Layout(Primary(shield.kind)))


def shown(text: str, message: Message, kind: int = INT64, ids: IdCipher | None = CIPHER) -> str:
    return key_words.shown_text(text, message, Shielded(ids, kind))  # type: ignore[arg-type]


def inserted() -> m.InsertRequest:
    column = s.FieldData(field_name="pk", type=INT64)
    column.scalars.long_data.data.extend(KEYS)
    other = s.FieldData(field_name="n", type=INT64)
    other.scalars.long_data.data.extend([55])
    return m.InsertRequest(fields_data=[column, other])


@pytest.mark.parametrize(
    "message",
    [
        m.QueryRequest(expr="pk in [7, -3, 4611686018427387904]"),
        m.DeleteRequest(expr="pk == 7 or pk == -3 or pk != 4611686018427387904"),
        m.SearchRequest(dsl="pk in [7,-3,4611686018427387904]"),
        m.HybridSearchRequest(requests=[m.SearchRequest(dsl="pk in [7,-3]"), m.SearchRequest(dsl=f"pk == {2**62}")]),
        inserted(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_numbers_that_the_client_named_are_its_own_again(message: Message) -> None:
    text = f"cannot parse: pk in [{STORED[0]}, {STORED[1]},{STORED[2]}] at 12: collection 450000000000000001"
    assert shown(text, message) == f"cannot parse: pk in [7, -3,{2**62}] at 12: collection 450000000000000001"


def test_numbers_in_templates_and_lists_are_named_too() -> None:
    templated = m.QueryRequest(expr="pk in {these}")
    templated.expr_template_values["these"].array_val.long_data.data.extend(KEYS)
    assert shown(f"no {STORED[1]}", templated) == "no -3"
    if "ids" in m.SearchRequest.DESCRIPTOR.fields_by_name:  # of newer clients
        assert shown(f"no {STORED[2]}", m.SearchRequest(ids=s.IDs(int_id=s.LongArray(data=KEYS)))) == f"no {2**62}"


def test_numbers_that_nobody_named_stay() -> None:
    text = f"duplicate key {STORED[0]}"
    assert shown(text, m.QueryRequest(expr="pk == 8")) == text
    (of_another,) = CIPHER.encrypt_signed([55])
    assert shown(f"key {of_another}", inserted()) == f"key {of_another}"  # 55 is no key of this message
    assert shown(text, m.QueryRequest(expr="pk == 7"), ids=None) == text
    assert shown(f"{2**64}", m.QueryRequest(expr="pk == 7")) == f"{2**64}"


def test_texts_are_known_by_themselves() -> None:
    stored = CIPHER.encrypt_texts(["größe 1", ""])
    text = f'pk in ["{stored[0]}", "{stored[1]}"] of a-collection-with-a-very-long-name'
    assert shown(text, m.QueryRequest(), VARCHAR) == 'pk in ["größe 1", ""] of a-collection-with-a-very-long-name'
    foreign = IdCipher(Key(bytes([1]) * 32)).encrypt_texts(["größe 1"])[0]
    assert shown(f"{foreign} {STORED[0]}", m.QueryRequest(expr="pk == 7"), VARCHAR) == f"{foreign} {STORED[0]}"


class Answering(Session):
    """A call that fails in the one way or the other, on a collection with encrypted keys."""

    def __init__(self, status: c.Status | None) -> None:
        self._status = status

    def shield_of(self, message: Message) -> Shielded:  # type: ignore[override]
        return Shielded(CIPHER, INT64)

    async def call(self, rpc: str, message: Message, answer: type[Answer], *, planted: bool = False) -> Answer:
        if self._status is None:
            raise UpstreamFailure("UNKNOWN", f"no key {STORED[0]}")
        reply = answer()
        reply.status.CopyFrom(self._status)  # type: ignore[attr-defined]
        return reply


def test_every_text_of_a_failed_call_is_in_the_clients_keys() -> None:
    message = m.QueryRequest(expr="pk == 7")
    with pytest.raises(UpstreamFailure, match=r"^no key 7$"):
        asyncio.run(ask(Answering(None), rpc("Query"), message, m.QueryResults))
    status = c.Status(code=1100, reason=f"no key {STORED[0]}", detail=f"{STORED[0]} at 1")
    status.extra_info["key"] = str(STORED[0])
    with pytest.raises(UpstreamFailure, match=r"^no key 7$") as caught:
        asyncio.run(ask(Answering(status), rpc("Query"), message, m.QueryResults))
    told = carried(caught.value)
    assert told is not None
    assert (told.reason, told.detail, dict(told.extra_info)) == ("no key 7", "7 at 1", {"key": "7"})
