"""API keys and passwords as the policy keeps them."""

import hashlib

import pytest

from vecguard.policy.credentials import (
    hash_key,
    hash_password,
    key_digest,
    new_key,
    parse_password_hash,
    password_fits,
)


def test_new_keys_differ_and_have_256_random_bits() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("vgk_") and len(key) == 4 + 43 for key in keys)


def test_a_key_is_kept_as_its_sha256() -> None:
    assert hash_key("vgk_x") == "sha256:" + hashlib.sha256(b"vgk_x").hexdigest()
    assert key_digest(hash_key("vgk_x")) == hashlib.sha256(b"vgk_x").digest()


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 64, "vgk_secret", "sha256:" + "g" * 64]
)
def test_what_is_no_hash_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        key_digest(text)


def test_scrypt_known_answer() -> None:
    """RFC 7914, section 12, third vector, first 32 bytes (scrypt's output is a prefix of the longer one)."""
    kept = parse_password_hash("scrypt:14:8:1:" + b"SodiumChloride00".hex() + ":" + "00" * 32)
    assert kept.log2_n == 14
    digest = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, maxmem=1 << 26, dklen=32)
    assert digest.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


def test_a_password_fits_its_hash_and_no_other() -> None:
    kept = parse_password_hash(hash_password("correct horse"))
    assert password_fits("correct horse", kept)
    assert not password_fits("correct horsf", kept)


@pytest.mark.parametrize(
    "text",
    [
        "scrypt:16:8:1:" + "00" * 16,  # no hash
        "scrypt:30:8:1:" + "00" * 16 + ":" + "00" * 32,  # would take the machine's memory
        "scrypt:10:8:1:" + "00" * 16 + ":" + "00" * 32,  # too cheap to guess
        "hunter2",
    ],
)
def test_what_is_no_hash_of_a_password_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"scrypt|cost"):
        parse_password_hash(text)
