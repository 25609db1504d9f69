"""Key files that are encrypted under a passphrase."""

import os
from pathlib import Path
from typing import Any

import pytest

from vecguard.errors import ConfigError
from vecguard.keys.file import FileKeyProvider, encrypt_file
from vecguard.keys.passphrase import ScryptCost, ScryptSetting

CHEAP = ScryptCost(log_n=10)
WORDS = {"VECGUARD_KEY_PASSPHRASE": "correct horse battery staple"}


def test_the_default_cost_is_128_mib() -> None:
    cost = ScryptCost()
    assert 128 * cost.r << cost.log_n == 128 * 2**20
    assert cost.bearable


def test_files_of_the_known_answers_open(known_keys: dict[str, Any], tmp_path: Path) -> None:
    for number, case in enumerate(known_keys["key_files"]):
        path = tmp_path / str(number)
        path.write_text(case["text"])
        path.chmod(0o600)
        environ = {} if case["passphrase"] is None else {"VECGUARD_KEY_PASSPHRASE": case["passphrase"]}
        assert FileKeyProvider(path, environ).key_id == case["key_id"]


def test_a_created_file_is_encrypted_private_and_opens_again(tmp_path: Path) -> None:
    created = FileKeyProvider.create(tmp_path / "key", WORDS, CHEAP)
    lines = (tmp_path / "key").read_text().splitlines()
    assert lines[0] == "vecguard key 2"
    assert lines[1] == f"id: {created.key_id}"
    assert lines[2].startswith("scrypt: 10 8 1 ")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert FileKeyProvider(tmp_path / "key", WORDS).key_id == created.key_id
    assert os.listdir(tmp_path) == ["key"]


def test_another_passphrase_and_none_are_refused(tmp_path: Path) -> None:
    FileKeyProvider.create(tmp_path / "key", WORDS, CHEAP)
    for words in ("correct horse battery stapl", "correct horse battery staple ", "Correct horse battery staple"):
        with pytest.raises(ConfigError, match="is not its passphrase, or the file is damaged") as refused:
            FileKeyProvider(tmp_path / "key", {"VECGUARD_KEY_PASSPHRASE": words})
        assert words not in str(refused.value)
    for environ in ({}, {"VECGUARD_KEY_PASSPHRASE": ""}):
        with pytest.raises(ConfigError, match="is encrypted: set VECGUARD_KEY_PASSPHRASE"):
            FileKeyProvider(tmp_path / "key", environ)


def test_a_plain_file_is_not_taken_for_an_encrypted_one(tmp_path: Path) -> None:
    FileKeyProvider.create(tmp_path / "key")
    with pytest.raises(ConfigError, match="is not encrypted"):
        FileKeyProvider(tmp_path / "key", WORDS)


def test_a_plain_file_is_encrypted_in_place_with_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    created = FileKeyProvider.create(path)
    plain = path.read_bytes()
    assert encrypt_file(path, WORDS, CHEAP).key_id == created.key_id
    assert plain.split(b"key: ")[1].strip() not in path.read_bytes()
    assert FileKeyProvider(path, WORDS).key_id == created.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_what_cannot_be_encrypted_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    FileKeyProvider.create(path)
    plain = path.read_bytes()
    with pytest.raises(ConfigError, match="VECGUARD_KEY_PASSPHRASE is not set"):
        encrypt_file(path, {}, CHEAP)
    assert path.read_bytes() == plain
    encrypt_file(path, WORDS, CHEAP)
    encrypted = path.read_bytes()
    with pytest.raises(ConfigError, match="is encrypted"):
        encrypt_file(path, WORDS, CHEAP)
    assert path.read_bytes() == encrypted


def test_two_files_under_one_passphrase_share_nothing(tmp_path: Path) -> None:
    lines = []
    for name in ("a", "b"):
        FileKeyProvider.create(tmp_path / name, WORDS, CHEAP)
        lines.append((tmp_path / name).read_text().splitlines())
    assert lines[0][2] != lines[1][2]
    assert lines[0][3] != lines[1][3]


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "key"
    FileKeyProvider.create(path, WORDS, CHEAP)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 7)] + [whole + b"\n"]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ConfigError):
            FileKeyProvider(path, WORDS)


@pytest.mark.parametrize(
    ("cost", "taken"),
    [
        ("10 8 1", True),
        ("20 8 1", True),
        ("9 8 1", False),
        ("21 8 1", False),
        ("63 8 1", False),
        ("20 16 1", False),  # 2 GiB
        ("10 0 1", False),
        ("10 8 0", False),
        ("10 33 1", False),
        ("10 8 17", False),
        ("010 8 1", False),
        ("10  8 1", False),
        ("-10 8 1", False),
    ],
)
def test_a_file_cannot_ask_for_more_than_can_be_borne(cost: str, taken: bool) -> None:
    assert (ScryptSetting.parse(f"{cost} AAECAwQFBgcICQoLDA0ODw==") is not None) == taken


@pytest.mark.parametrize("salt", ["", "AAECAwQFBgcICQoLDA0ODx==", "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0O"])
def test_a_salt_is_16_bytes_written_in_one_way(salt: str) -> None:
    assert ScryptSetting.parse(f"10 8 1 {salt}") is None
