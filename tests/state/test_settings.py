"""What a store may be, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from vecguard.errors import ConfigError
from vecguard.state.settings import PASSWORD, StateSettings


def settings(**given: object) -> StateSettings:
    return StateSettings.model_validate(given)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379", ("127.0.0.1", 6379, 0, None, False)),
        ("redis://localhost:6379/3", ("localhost", 6379, 3, None, False)),
        ("redis://[::1]:6379", ("::1", 6379, 0, None, False)),
        ("rediss://store.example:6380/1", ("store.example", 6380, 1, None, True)),
        ("unix:/run/redis.sock", (None, 0, 0, "/run/redis.sock", False)),
    ],
)
def test_urls(url: str, expected: tuple[object, ...]) -> None:
    made = settings(url=url)
    assert (made.host, made.port, made.database, made.path, made.tls) == expected


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@127.0.0.1:6379", "redis://127.0.0.1", "redis://h:0", "redis://h:99999", "http://h:1", ""]
)
def test_others_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(url=url)
    assert "hunter2" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"url": "redis://store.example:6379"}, "in clear"),
        ({"url": "redis://127.0.0.1:6379", "ca": "ca.pem"}, "need a url of rediss"),
        ({"url": "rediss://h:1", "certificate": "c.pem"}, "go together"),
        ({"url": "redis://127.0.0.1:1", "prefix": "a*"}, "letters"),
        ({"url": "redis://127.0.0.1:1", "fail": "open"}, "closed"),
        ({"url": "redis://127.0.0.1:1", "retries": 3}, "Extra"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        settings(**given)


def test_another_machine_in_clear_only_in_so_many_words() -> None:
    assert settings(url="redis://redis:6379", allow_clear_network=True).host == "redis"


def test_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(url="redis://127.0.0.1:1")
    monkeypatch.delenv(PASSWORD, raising=False)
    assert made.password() is None
    monkeypatch.setenv(PASSWORD, "from the environment")
    assert made.password() == "from the environment"
    file = tmp_path / "password"
    file.write_text("from a file\n")
    assert settings(url="redis://127.0.0.1:1", password_file=file).password() == "from a file"
    with pytest.raises(ConfigError, match="cannot be read"):
        settings(url="redis://127.0.0.1:1", password_file=tmp_path / "none").password()
