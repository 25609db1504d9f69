"""Where each vendor's client puts its credential."""

import base64

import pytest

from vecguard.access.headers import Secret, read_secret
from vecguard.errors import Unauthenticated


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("metadata", "secret"),
    [
        ({}, None),
        ({"user-agent": "x"}, None),
        ({"api-key": "k"}, Secret("k")),
        ({"authorization": "Bearer k"}, Secret("k")),
        ({"authorization": "bearer k"}, Secret("k")),
        ({"authorization": b64("root:Milvus")}, Secret("Milvus", "root")),
        ({"authorization": b64("k")}, Secret("k")),
        ({"authorization": "Basic " + b64("ann:a:b")}, Secret("a:b", "ann")),
    ],
)
def test_forms_that_are_read(metadata: dict[str, str], secret: Secret | None) -> None:
    assert read_secret(metadata, ()) == secret


@pytest.mark.parametrize(
    "metadata",
    [
        {"api-key": ""},
        {"api-key": "x" * 20_000},
        {"api-key": "a", "authorization": "Bearer a"},
        {"authorization": "not base64!"},
        {"authorization": "Digest abc"},
        {"authorization": "Basic " + b64("no colon")},
        {"authorization": base64.b64encode(b"\xff\xfe").decode()},
    ],
)
def test_what_cannot_be_read_is_refused_and_never_anonymous(metadata: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        read_secret(metadata, ())


def test_a_header_that_comes_twice_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="more than one"):
        read_secret({"api-key": "last"}, {"api-key"})
    assert read_secret({"api-key": "k"}, {"cookie"}) == Secret("k")


def test_a_secret_does_not_show_when_printed() -> None:
    assert "hunter2" not in repr(Secret("hunter2", "ann"))
