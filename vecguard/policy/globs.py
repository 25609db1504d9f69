"""Whether a glob can ever be reached: does an earlier one already match everything that it matches?

Globs are `fnmatch`'s. Inclusion of regular languages is decided by walking the candidate's automaton beside the
subset construction of the earlier ones (Hopcroft, Motwani & Ullman, "Introduction to Automata Theory", 4.2 and 2.3.5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

_MAX_STATES: Final = 20_000
_TOKEN = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.DOTALL)

# A place in one earlier glob: which glob, and how many of its tokens are matched.
_Spot = tuple[int, int]


def shadowed(glob: str, earlier: Sequence[str]) -> bool:
    """Whether every name that `glob` matches is matched by some glob of `earlier`.

    Errs on the side of False for globs too intricate to decide in reasonable time: the answer only feeds a warning.
    """
    letters = _letters([glob, *earlier])
    candidate = _tokens(glob)
    others = [_tokens(other) for other in earlier]
    start = (0, frozenset((i, 0) for i in range(len(others))))
    waiting, seen = [start], {start}
    while waiting:
        if len(seen) > _MAX_STATES:
            return False
        at, spots = waiting.pop()
        reach = _skip_stars(candidate, {at})
        covering = frozenset(
            (i, p) for i, tokens in enumerate(others) for p in _skip_stars(tokens, {p for j, p in spots if j == i})
        )
        if len(candidate) in reach and not any(p == len(others[i]) for i, p in covering):
            return False
        for letter in letters:
            covered = _step(others, covering, letter)
            for there in (p for q in reach for p in _moves(candidate, q, letter)):
                state = (there, covered)
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
    return True


def _tokens(glob: str) -> list[re.Pattern[str] | None]:
    """One pattern for each sign that a glob matches; None stands for a star."""
    return [None if token[0] == "*" else re.compile(translate(token)) for token in _TOKEN.findall(glob)]


def _letters(globs: Sequence[str]) -> list[str]:
    """One letter of every class that the globs can tell apart: each written sign and its two neighbours."""
    codes = {0, 0x10FFFF}
    for sign in "".join(globs):
        codes.update((max(ord(sign) - 1, 0), ord(sign), min(ord(sign) + 1, 0x10FFFF)))
    return [chr(code) for code in sorted(codes)]


def _skip_stars(tokens: Sequence[re.Pattern[str] | None], spots: set[int]) -> set[int]:
    reached = set(spots)
    for spot in spots:
        at = spot
        while at < len(tokens) and tokens[at] is None:
            at += 1
            reached.add(at)
    return reached


def _moves(tokens: Sequence[re.Pattern[str] | None], at: int, letter: str) -> list[int]:
    if at == len(tokens):
        return []
    token = tokens[at]
    if token is None:
        return [at]
    return [at + 1] if token.match(letter) else []


def _step(globs: Sequence[Sequence[re.Pattern[str] | None]], spots: frozenset[_Spot], letter: str) -> frozenset[_Spot]:
    return frozenset((i, there) for i, at in spots for there in _moves(globs[i], at, letter))
