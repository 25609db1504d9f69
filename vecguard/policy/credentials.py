"""How credentials are kept: API keys as SHA-256, chosen passwords as scrypt.

A key that `vecguard access new-key` makes has 256 random bits, which nobody can guess, so that one SHA-256 hides it as
well as any slower function would. A password that somebody chose needs scrypt (RFC 7914).

    sha256:HEX                                    64 hexadecimal digits, of the key's UTF-8 text
    scrypt:LOG2N:R:P:SALT:HASH                    salt (16 bytes) and hash (32 bytes) in hexadecimal
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from typing import Final, NamedTuple

KEY_PREFIX: Final = "vgk_"
_KEY_BYTES: Final = 32
_SHA256: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_SCRYPT: Final = re.compile(r"scrypt:(\d{2}):(\d{1,2}):(\d{1,2}):([0-9a-fA-F]{32,128}):([0-9a-fA-F]{64})")
# OWASP's password storage cheat sheet: N = 2^16, r = 8, p = 1 (64 MiB, some 150 ms).
_LOG2_N, _R, _P = 16, 8, 1
_LEAST_LOG2_N, _MOST_LOG2_N = 14, 18
_MOST_R, _MOST_P = 16, 4


class PasswordHash(NamedTuple):
    """A password's scrypt hash with its cost (N = 2 ** log2_n) and salt."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes


def new_key() -> str:
    """A new API key: 256 bits from the system's generator."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def hash_key(key: str) -> str:
    """The line for the policy file."""
    return f"sha256:{sha256(key).hex()}"


def sha256(key: str) -> bytes:
    """SHA-256 of a key's text, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def key_digest(text: str) -> bytes:
    """The digest in a line `sha256:HEX`. Raises ValueError: it is none."""
    match = _SHA256.fullmatch(text)
    if match is None:
        raise ValueError("is not `sha256:` with 64 hexadecimal digits: `vecguard access new-key NAME` prints the line")
    return bytes.fromhex(match[1])


def hash_password(password: str) -> str:
    """The line for the policy file, with a new salt."""
    salt = os.urandom(16)
    digest = _scrypt(password, PasswordHash(_LOG2_N, _R, _P, salt, b""))
    return f"scrypt:{_LOG2_N}:{_R}:{_P}:{salt.hex()}:{digest.hex()}"


def parse_password_hash(text: str) -> PasswordHash:
    """The parts of a line `scrypt:...`. Raises ValueError: it is none, or its cost is out of bounds."""
    match = _SCRYPT.fullmatch(text)
    if match is None:
        raise ValueError("is not a `scrypt:` line: `vecguard access hash-password` prints one")
    log2_n, r, p = int(match[1]), int(match[2]), int(match[3])
    if not (_LEAST_LOG2_N <= log2_n <= _MOST_LOG2_N and 1 <= r <= _MOST_R and 1 <= p <= _MOST_P):
        raise ValueError(f"its cost is out of bounds (2^{_LEAST_LOG2_N} to 2^{_MOST_LOG2_N}, r to {_MOST_R})")
    return PasswordHash(log2_n, r, p, bytes.fromhex(match[4]), bytes.fromhex(match[5]))


def password_fits(password: str, kept: PasswordHash) -> bool:
    """Whether a password is the one that was hashed; takes its time on purpose."""
    return hmac.compare_digest(_scrypt(password, kept), kept.digest)


def _scrypt(password: str, cost: PasswordHash) -> bytes:
    n = 1 << cost.log2_n
    memory = 128 * n * cost.r * 2 + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=cost.salt, n=n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)
