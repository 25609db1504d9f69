"""A KEK encrypted under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM the box."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import KEY_BYTES, Key

PASSPHRASE_VARIABLE: Final = "VECGUARD_KEY_PASSPHRASE"  # noqa: S105 - its name
BOX_BYTES: Final = 12 + KEY_BYTES + 16
_DOMAIN: Final = b"vecguard.key-file"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
# What a file may ask of us: it is read before anything in it is authenticated.
_LOG_N: Final = range(10, 21)
_MOST_R: Final = 32
_MOST_P: Final = 16
_MOST_MEMORY: Final = 2**30
_LINE: Final = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) ([0-9]{1,2}) ([A-Za-z0-9+/]{22}==)")


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Parameters of RFC 7914 §2: N = 2^`log_n`, `r`, `p`. Memory is 128 · r · N bytes: 128 MiB by default."""

    log_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def bearable(self) -> bool:
        """Whether a file may ask for this much."""
        memory = 128 * self.r << self.log_n
        return self.log_n in _LOG_N and 1 <= self.r <= _MOST_R and 1 <= self.p <= _MOST_P and memory <= _MOST_MEMORY


@dataclass(frozen=True, slots=True)
class ScryptSetting:
    """Cost and salt, as a key file's `scrypt:` line has them."""

    cost: ScryptCost
    salt: bytes

    @classmethod
    def new(cls, cost: ScryptCost) -> ScryptSetting:
        """With a new random salt."""
        return cls(cost, secrets.token_bytes(_SALT_BYTES))

    @classmethod
    def parse(cls, text: str) -> ScryptSetting | None:
        """Read `str(setting)`; None: it is not one, or asks for too much."""
        found = _LINE.fullmatch(text)
        if found is None:
            return None
        try:
            salt = base64.b64decode(found[4], validate=True)
        except binascii.Error:
            return None
        setting = cls(ScryptCost(int(found[1]), int(found[2]), int(found[3])), salt)
        return setting if setting.cost.bearable and str(setting) == text else None

    def __str__(self) -> str:
        return f"{self.cost.log_n} {self.cost.r} {self.cost.p} {base64.b64encode(self.salt).decode()}"


def has_passphrase(environ: Mapping[str, str]) -> bool:
    """Whether `VECGUARD_KEY_PASSPHRASE` is set and not empty."""
    return bool(environ.get(PASSPHRASE_VARIABLE))


def encrypt(kek: Key, environ: Mapping[str, str], setting: ScryptSetting, header: bytes) -> bytes:
    """The box of `kek` under the environment's passphrase: nonce (12, random) || AES-256-GCM (48).

    `header` is what stands before it in the file, and is authenticated with it.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _cipher(environ, setting).encrypt(nonce, kek.expose(), length_prefixed(_DOMAIN, header))


def decrypt(box: bytes, environ: Mapping[str, str], setting: ScryptSetting, header: bytes) -> Key | None:
    """The KEK; None: another passphrase, or altered bytes."""
    if len(box) != BOX_BYTES:
        return None
    cipher = _cipher(environ, setting)
    try:
        return Key(cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], length_prefixed(_DOMAIN, header)))
    except InvalidTag:
        return None


def _cipher(environ: Mapping[str, str], setting: ScryptSetting) -> AESGCM:
    cost = setting.cost
    kdf = Scrypt(salt=setting.salt, length=KEY_BYTES, n=1 << cost.log_n, r=cost.r, p=cost.p)
    return AESGCM(kdf.derive(os.fsencode(environ[PASSPHRASE_VARIABLE])))
