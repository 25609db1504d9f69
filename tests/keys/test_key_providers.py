"""Wrapping of data keys, the key file and the environment variable."""

import base64
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from vecguard.errors import AlreadyExists, ConfigError, Unreadable
from vecguard.keys.environment import EnvironmentKeyProvider
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key
from vecguard.keys.wrapping import WRAPPED_BYTES, LocalWrapping
from vecguard.registry import KEY_PROVIDERS

KEK = bytes(range(32))


def test_wrapped_keys_of_the_known_answers_open(known_keys: dict[str, Any]) -> None:
    for case in known_keys["wrapped"]:
        provider = LocalWrapping(Key(bytes.fromhex(case["kek"])))
        data_key = provider.unwrap(bytes.fromhex(case["wrapped"]), bytes.fromhex(case["context"]))
        assert provider.key_id == case["key_id"]
        assert data_key.expose().hex() == case["data_key"]


def test_wrapping_comes_back_and_never_repeats() -> None:
    provider, data_key = LocalWrapping(Key(KEK)), Key.random()
    wrapped = [provider.wrap(data_key, b"context") for _ in range(3)]
    assert len(set(wrapped)) == 3
    assert all(len(one) == WRAPPED_BYTES for one in wrapped)
    assert all(provider.unwrap(one, b"context") == data_key for one in wrapped)
    assert not any(data_key.expose() in one for one in wrapped)


def test_every_flipped_bit_of_a_wrapped_key_is_unreadable() -> None:
    provider = LocalWrapping(Key(KEK))
    wrapped = provider.wrap(Key.random(), b"context")
    for position in range(8 * len(wrapped)):
        damaged = bytearray(wrapped)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Unreadable):
            provider.unwrap(bytes(damaged), b"context")


def test_truncated_extended_and_foreign_wrapped_keys_are_unreadable() -> None:
    provider = LocalWrapping(Key(KEK))
    wrapped = provider.wrap(Key.random(), b"context")
    for damaged in [wrapped[:length] for length in range(len(wrapped))] + [wrapped + b"\0"]:
        with pytest.raises(Unreadable):
            provider.unwrap(damaged, b"context")
    for opener, context in [(provider, b"other"), (LocalWrapping(Key.random()), b"context")]:
        with pytest.raises(Unreadable):
            opener.unwrap(wrapped, context)


def test_a_created_key_file_is_private_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old_mask = os.umask(0)
    try:
        created = FileKeyProvider.create(path)
    finally:
        os.umask(old_mask)
    data_key = Key.random()
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileKeyProvider(path).unwrap(created.wrap(data_key, b"c"), b"c") == data_key
    assert os.listdir(tmp_path) == ["key"]


def test_two_created_files_hold_different_keys(tmp_path: Path) -> None:
    assert FileKeyProvider.create(tmp_path / "a").key_id != FileKeyProvider.create(tmp_path / "b").key_id


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"something of mine")
    with pytest.raises(AlreadyExists):
        FileKeyProvider.create(path)
    assert path.read_bytes() == b"something of mine"
    assert os.listdir(tmp_path) == ["key"]


def test_of_many_that_create_at_once_one_does_and_all_see_a_whole_file(tmp_path: Path) -> None:
    path, ids = tmp_path / "key", []

    def start() -> None:
        try:
            provider = FileKeyProvider.create(path)
        except AlreadyExists:
            provider = FileKeyProvider(path)
        ids.append(provider.key_id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_folder_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        FileKeyProvider.create(tmp_path / "missing" / "key")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_modes_are_taken(tmp_path: Path, mode: int) -> None:
    provider = FileKeyProvider.create(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    assert FileKeyProvider(tmp_path / "key").key_id == provider.key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700, 0o610, 0o602])
def test_wider_modes_are_refused(tmp_path: Path, mode: int) -> None:
    FileKeyProvider.create(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ConfigError, match="0600"):
        FileKeyProvider(tmp_path / "key")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError):
            FileKeyProvider(path)


def test_every_damaged_byte_of_a_key_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "key"
    FileKeyProvider.create(path)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(len(whole))] + [whole + b"\n", b"", b"\xff" * 100]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    secret = whole.split(b"key: ")[1].strip()
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="damaged") as caught:
            FileKeyProvider(path)
        assert secret.decode() not in str(caught.value)


def test_the_environment_variable_gives_the_same_provider_as_the_raw_key() -> None:
    environ = {"VECGUARD_KEY": base64.b64encode(KEK).decode() + "\n"}
    assert EnvironmentKeyProvider(environ).key_id == LocalWrapping(Key(KEK)).key_id


@pytest.mark.parametrize("text", ["", "  ", "secret-text!", base64.b64encode(KEK[:16]).decode(), "AAAA", "#"])
def test_bad_environment_values_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EnvironmentKeyProvider({"VECGUARD_KEY": text})
    assert "VECGUARD_KEY" in str(caught.value)
    assert not text.strip() or text not in str(caught.value)


def test_the_registry_opens_both_kinds(tmp_path: Path) -> None:
    created = FileKeyProvider.create(tmp_path / "key")
    environ = {"VECGUARD_KEY": base64.b64encode(KEK).decode(), "OTHER": base64.b64encode(KEK[::-1]).decode()}
    assert KEY_PROVIDERS.load("file")(str(tmp_path / "key"), environ).key_id == created.key_id
    default = KEY_PROVIDERS.load("environment")("", environ)
    assert default.key_id == LocalWrapping(Key(KEK)).key_id
    assert KEY_PROVIDERS.load("environment")("OTHER", environ).key_id != default.key_id
