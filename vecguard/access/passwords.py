"""Checking passwords against scrypt hashes: apart from the event loop, few at a time, and not again on every call.

Milvus' clients send the password with each call. One that was right is remembered for a while as a keyed hash in
memory; the key is made anew in each process.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from typing import Final

from vecguard.errors import Unavailable
from vecguard.policy.credentials import hash_password, parse_password_hash, password_fits

REMEMBERED_S: Final = 300.0
_REMEMBERED: Final = 1_024
# A check takes 64 MiB and a good part of a second of a core: wrong ones must not take the machine.
_AT_ONCE: Final = 2
_WAITING: Final = 64


class PasswordChecks:
    """Whether passwords fit their hashes."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether `password` is what `kept` (a `scrypt:` line; None: of a user that there is not) was made of.

        Raises:
            Unavailable: too many checks wait already.
        """
        mark = hashlib.blake2b(f"{kept}\0{password}".encode(), key=self._key, digest_size=32).digest()
        if self._right.get(mark, 0.0) > time.monotonic():
            return True
        if self._waiting >= _WAITING:
            raise Unavailable("too many passwords are being checked: try again")
        self._waiting += 1
        try:
            async with self._slots:
                right = await asyncio.to_thread(self._slow, password, kept)
        finally:
            self._waiting -= 1
        if right:
            self._remember(mark)
        return right

    def _slow(self, password: str, kept: str | None) -> bool:
        if kept is None:  # takes as long as for a user that there is, who cannot be told apart by it
            if self._nobodys is None:
                self._nobodys = hash_password(os.urandom(16).hex())
            password_fits(password, parse_password_hash(self._nobodys))
            return False
        return password_fits(password, parse_password_hash(kept))

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = time.monotonic() + REMEMBERED_S
        while len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
