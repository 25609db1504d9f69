"""The text form is canonical, and the head admits only what this version knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import Unreadable
from vecguard.seal.envelope import Head, SealKind, from_text, read_head, to_text


@given(st.binary(max_size=200))
def test_text_comes_back(data: bytes) -> None:
    text = to_text(data)
    assert from_text(text) == data
    assert set(text[3:]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text(alphabet="ABab01-_+/=! \n", max_size=9))
def test_no_two_texts_stand_for_the_same_bytes(digits: str) -> None:
    try:
        data = from_text("vg:" + digits)
    except Unreadable:
        return
    assert to_text(data) == "vg:" + digits


@pytest.mark.parametrize(
    "text",
    [
        *(None, 7, b"vg:AAAA", "", "vg", "AAAA", "VG:AAAA", " vg:AAAA"),
        *("vg:A", "vg:AAAAA", "vg:AB", "vg:AAB", "vg:AA==", "vg:AAA=", "vg:===="),
        *("vg:A+AA", "vg:A/AA", "vg:AA A", "vg:AAAA\n", "vg:ÄAAA", "vg:AAA\ud800"),
    ],
)
def test_other_texts_are_unreadable(text: object) -> None:
    with pytest.raises(Unreadable):
        from_text(text)


def test_heads_come_back() -> None:
    for kind in SealKind:
        head = Head(kind, 2**32 - 1, 1)
        assert read_head(head.encode() + b"rest", kind, 1) == head


def test_unknown_versions_kinds_and_flags_are_unreadable() -> None:
    good = Head(SealKind.DENSE_ENTRY, 3, 1).encode()
    for data in [good[:6], b"", b"\x02" + good[1:], b"\x00" + good[1:]]:
        with pytest.raises(Unreadable):
            read_head(data, SealKind.DENSE_ENTRY, 1)
    with pytest.raises(Unreadable):
        read_head(good, SealKind.ROWS_ENTRY, 1)
    with pytest.raises(Unreadable):
        read_head(good, SealKind.DENSE_ENTRY, 0)
