"""What is written, held against a known answer in tests/vectors."""

from __future__ import annotations

from typing import Any


def alike(made: Any, known: Any) -> bool:
    """Equal, but for what is sealed anew each time: then as long as the other."""
    if isinstance(known, dict):
        return made.keys() == known.keys() and all(alike(made[key], known[key]) for key in known)
    if isinstance(known, list):
        return len(made) == len(known) and all(map(alike, made, known))
    if isinstance(known, str) and known.startswith("vg:AQE"):
        return isinstance(made, str) and len(made) == len(known) and made != known
    return type(made) is type(known) and bool(made == known)
