"""`vecguard access`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vecguard.access.tokens import Tokens
from vecguard.cli import app
from vecguard.policy.access import JwtIssuer
from vecguard.policy.credentials import hash_key, parse_password_hash, password_fits
from vecguard.policy.load import loads

RUNNER = CliRunner()


def test_a_new_key_is_shown_once_and_its_entry_can_be_pasted() -> None:
    made = RUNNER.invoke(app, ["access", "new-key", "ingest", "--role", "write"])
    key = made.stdout.strip()
    assert key.startswith("vgk_")
    entry = made.stderr.partition("\n")[2]
    policy = loads(f'version: 1\naccess:\n  api_keys:\n{entry}collections: [{{match: "*"}}]\n')
    (known,) = policy.access.api_keys
    assert (known.name, known.hash, known.roles) == ("ingest", hash_key(key), ("write",))
    assert key not in made.stderr


def test_a_password_is_asked_for_and_hashed() -> None:
    made = RUNNER.invoke(app, ["access", "hash-password"], input="secret one\nsecret one\n")
    line = made.output.strip().splitlines()[-1]
    assert password_fits("secret one", parse_password_hash(line))
    assert "secret one" not in made.output


def test_an_issuers_tokens_are_accepted(tmp_path: Path) -> None:
    assert RUNNER.invoke(app, ["access", "new-issuer", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "issuer.key").stat().st_mode & 0o777 == 0o600
    arguments = ["--key", str(tmp_path / "issuer.key"), "--issuer", "https://i/", "--audience", "v", "--subject", "ann"]
    made = RUNNER.invoke(app, ["access", "token", *arguments, "--claim", "tenant=acme"])
    issuer = JwtIssuer(
        issuer="https://i/", audience=("v",), jwks=f"file:{tmp_path}/jwks.json", attributes={"tenant": "tenant"}
    )
    found = asyncio.run(Tokens().principal(made.stdout.strip(), (issuer,)))
    assert (found.name, found.attributes["tenant"]) == ("ann", ("acme",))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["new-issuer", "."], "issuer.key"),
        (["token", "--key", "gone", "--issuer", "i", "--audience", "a", "--subject", "s"], "cannot be used"),
        (["token", "--key", "x", "--issuer", "i", "--audience", "a", "--subject", "s", "--claim", "x"], "NAME=TEXT"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "issuer.key").touch()  # one that is there is not written over
    made = RUNNER.invoke(app, ["access", *arguments])
    assert made.exit_code == 1
    assert text in made.stderr
