"""`vecguard keys` says whether a provider can be used, and encrypts key files."""

import base64

import pytest
from typer.testing import CliRunner

from vecguard.cli import app, keys
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key
from vecguard.keys.passphrase import ScryptCost
from vecguard.keys.wrapping import LocalWrapping

WORDS = {"VECGUARD_KEY_PASSPHRASE": "correct horse battery staple"}


def run(*arguments, env=None):
    return CliRunner().invoke(app, ["keys", *arguments], env=env)


def test_a_good_provider_is_ok(tmp_path):
    provider = FileKeyProvider.create(tmp_path / "key")
    result = run("check", "--key", f"file:{tmp_path / 'key'}")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"ok: file, key {provider.key_id}, a wrapped key has 69 bytes, ")


def test_the_provider_of_a_settings_file_is_tried(tmp_path):
    (tmp_path / "c.yaml").write_text("key: environment:MINE\n")
    good = {"MINE": base64.b64encode(bytes(32)).decode()}
    assert run("check", "--config", str(tmp_path / "c.yaml"), env=good).exit_code == 0
    bad = run("check", "--config", str(tmp_path / "c.yaml"), env={"MINE": "x"})
    assert bad.exit_code == 1
    assert "environment variable MINE is not base64" in bad.stderr


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sesame:x", "there is no key provider 'sesame'"),
        ("file:gone", "cannot be opened"),
        ("vault:nowhere", "a key in Vault is named"),
        ("vault:http://127.0.0.1:1/v1/transit/keys/kek", "cannot be reached"),
    ],
)
def test_a_bad_provider_is_said_and_no_file_is_made(tmp_path, monkeypatch, key, said):
    monkeypatch.chdir(tmp_path)
    result = run("check", "--key", key)
    assert result.exit_code == 1
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


class Careless:
    """A provider that binds no context."""

    key_id = "careless"

    def __init__(self):
        self.local = LocalWrapping(Key(bytes(32)))

    def wrap(self, data_key, context):
        return self.local.wrap(data_key, b"")

    def unwrap(self, wrapped, context):
        return self.local.unwrap(wrapped, b"")


def test_a_provider_that_binds_no_context_is_not_ok():
    assert keys._tried(LocalWrapping(Key(bytes(32)))) == 69
    assert keys._tried(Careless()) is None


def test_a_key_file_is_encrypted_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr("vecguard.keys.file.encrypt_file.__defaults__", (ScryptCost(log_n=10),))
    path = tmp_path / "key"
    provider = FileKeyProvider.create(path)
    assert "VECGUARD_KEY_PASSPHRASE is not set" in run("encrypt", str(path), env={"VECGUARD_KEY_PASSPHRASE": ""}).stderr
    result = run("encrypt", str(path), env=WORDS)
    assert result.exit_code == 0
    assert provider.key_id in result.stdout
    assert FileKeyProvider(path, WORDS).key_id == provider.key_id
    assert run("encrypt", str(path), env=WORDS).exit_code == 1
