"""Point ids have one canonical form each."""

from collections.abc import Callable
from typing import Any

import pytest

from vecguard.errors import InvalidArgument
from vecguard.seal.ids import num_id, uuid_id

UUID = "936da01f-9abd-4d9d-80c7-02af85c822a8"


def test_known_answers(known: Callable[[str], Any]) -> None:
    for number, expected in known("ids")["numbers"]:
        assert num_id(int(number)).hex() == expected
    for text, expected in known("ids")["uuids"]:
        assert uuid_id(text).hex() == expected


def test_numbers_and_uuids_never_meet() -> None:
    assert num_id(1) != uuid_id("00000000-0000-0000-0000-000000000001")
    assert len({num_id(n) for n in range(1000)}) == 1000


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidArgument):
        num_id(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        UUID[:-1],
        UUID + "0",
        UUID + "\n",
        UUID.replace("-", "")[:-1] + "_",
        UUID.replace("9", "g"),
        "936da01f9abd-4d9d-80c7-02af85c822a8",
        "urn:uuid:" + UUID.replace("-", ""),
        "{" + UUID,
        "{" + UUID.replace("-", "") + "}",
        "{urn:uuid:" + UUID + "}",
        "urn:uuid:urn:uuid:" + UUID,
        "９36da01f-9abd-4d9d-80c7-02af85c822a8",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="UUID"):
        uuid_id(text)
