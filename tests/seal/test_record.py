"""A record's text says what was put into it, and nothing but what `encode` writes is read."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import Unreadable
from vecguard.seal import record

MANIFEST = "0f0e0d0c0b0a4908"


def test_known_answers(known: Callable[[str], Any]) -> None:
    for case in known("records"):
        entries = {name: bytes.fromhex(entry) for name, entry in case["entries"].items()}
        token = bytes.fromhex(case["token"])
        assert record.encode(case["manifest"], entries, token) == case["text"]
        assert record.decode(case["text"]) == (case["manifest"], entries, token)


@given(st.dictionaries(st.text(), st.binary(max_size=200), max_size=5), st.binary(max_size=20))
def test_what_was_encoded_comes_back(entries: dict[str, bytes], token: bytes) -> None:
    text = record.encode(MANIFEST, entries, token)
    assert text.isascii()
    assert not set(text) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert record.decode(text) == (MANIFEST, entries, token)
    assert list(record.decode(text).entries) == list(entries)


def test_bound_to_the_point_id_is_what_is_said_when_nothing_is() -> None:
    assert record.encode(MANIFEST, {"": b"\0"}) == f"vgr1.{MANIFEST}...AA"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vgr1",
        f"vgr1.{MANIFEST}",
        f"vgr2.{MANIFEST}.",
        f"VGR1.{MANIFEST}.",
        f" vgr1.{MANIFEST}.",
        f"vgr1.{MANIFEST[:-1]}.",
        f"vgr1.{MANIFEST}0.",
        f"vgr1.{MANIFEST.upper()}.",
        "vgr1..",
        f"vgr1.{MANIFEST}..YQ",
        f"vgr1.{MANIFEST}..YQ.AA.YQ",
        f"vgr1.{MANIFEST}..YQ.AA.YQ.AA",
        f"vgr1.{MANIFEST}..YQ==.AA",
        f"vgr1.{MANIFEST}..YQ.AB",
        f"vgr1.{MANIFEST}..YQ.A+",
        f"vgr1.{MANIFEST}..YQ.AA\n",
        f"vgr1.{MANIFEST}..YR.AA",
        f"vgr1.{MANIFEST}.._w.AA",
        f"vgr1.{MANIFEST}.A.YQ.AA",
        f"vgr1.{MANIFEST}..YQ.é",
        f"vgr1.{MANIFEST}..é.AA",
    ],
)
def test_anything_else_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        record.decode(text)
