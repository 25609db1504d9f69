"""The words that a text is about, as crawlers pick them out of what they have read, without a language model.

A run of capitalised words is taken for a name; other words of five letters and more count as terms. Published crawlers
let a language model pick anchors; that would phrase better, and needs the same kind of query.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

_NAME: Final = re.compile(r"\b[A-Z][a-z]{2,}(?:[ -][A-Z][a-z]{2,}){0,2}")
_TERM: Final = re.compile(r"\b[a-z]{5,}\b")
_COMMON_TEXT: Final = (
    "about above after again against although always among another because become before being below between both "
    "called cannot could different doing during early either first following found given having however include "
    "included includes including large later likely made making many might month months never number often other "
    "others people possible same second several should since small some sometimes still their there these thing "
    "things third those though three through times together under until usually using various where whether which "
    "while whose within without would years your these this that when what they with from have more most such "
    "also been were will"
)
_COMMON: Final = frozenset(_COMMON_TEXT.split())


def anchors(text: str, most: int) -> list[str]:
    """Up to `most` names and terms of a text, the most frequent first, names before terms."""
    names = Counter(name for name in _NAME.findall(text) if name.lower() not in _COMMON)
    terms = Counter(term for term in _TERM.findall(text) if term not in _COMMON)
    ordered = [name for name, _ in names.most_common(most)] + [term for term, _ in terms.most_common(most)]
    # Half names, half terms, so that a page full of names does not crowd out what it is about.
    half = [*ordered[: most // 2], *(term for term, _ in terms.most_common(most - most // 2))]
    return list(dict.fromkeys(half))[:most]
