"""The words of a text, as Qdrant's `word` tokenizer with its default options finds them.

Source: github.com/qdrant/qdrant, lib/segment/src/index/field_index/full_text_index/tokenizers: a text is split at what
is not alphanumeric in Rust's sense (Unicode's property Alphabetic, or a number), and words are lower-cased.
"""

from __future__ import annotations

from typing import Final

import regex

_WORD: Final = regex.compile(r"[\p{Alphabetic}\p{N}]+")


def words(text: str) -> list[str]:
    """The distinct words of a text, in no order that means anything."""
    return sorted({word.lower() for word in _WORD.findall(text)})
