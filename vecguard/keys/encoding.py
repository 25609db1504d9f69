"""Unambiguous concatenation, for everything that is hashed, derived from, or authenticated beside a ciphertext."""

from __future__ import annotations


def length_prefixed(*parts: bytes) -> bytes:
    """Join `parts` so that no two different lists of parts give the same bytes.

    Each part is preceded by its length as a big-endian uint32.
    """
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])
