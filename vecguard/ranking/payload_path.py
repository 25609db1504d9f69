"""Qdrant's payload paths, `a.b[0].c[]."quoted key"`, and the values that one selects.

Source: github.com/qdrant/qdrant, lib/segment/src/json_path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from vecguard.errors import InvalidArgument


class Wildcard(Enum):
    """`[]`: every item of a list."""

    EVERY = "[]"


Step: TypeAlias = str | int | Wildcard

_TOKEN: Final = re.compile(r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[\w-]+))(?P<brackets>(?:\[[0-9]*\])*)')
_BRACKET: Final = re.compile(r"\[([0-9]*)\]")


@dataclass(frozen=True, slots=True)
class PayloadPath:
    """A parsed path: keys (str), list positions (int) and wildcards."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> PayloadPath:
        """Raises InvalidArgument for a path that Qdrant would not take."""
        steps: list[Step] = []
        position = 0
        while True:
            token = _TOKEN.match(text, position)
            if token is None:
                raise InvalidArgument(f"Invalid payload variable: {text}")
            plain, quoted = token["plain"], token["quoted"]
            steps.append(plain if plain is not None else quoted)
            steps.extend(int(index) if index else Wildcard.EVERY for index in _BRACKET.findall(token["brackets"]))
            position = token.end()
            if position == len(text):
                return cls(tuple(steps))
            if text[position] != ".":
                raise InvalidArgument(f"Invalid payload variable: {text}")
            position += 1

    def __str__(self) -> str:
        """The path as Qdrant writes it."""
        return "".join(_shown(step, first=i == 0) for i, step in enumerate(self.steps))

    def select(self, payload: object) -> list[object]:
        """The values at this path, in order; a list counts as one value. Keys do not reach through lists."""
        return list(_selected(payload, self.steps))

    def select_items(self, payload: object) -> list[object]:
        """The values that a formula or a grouping sees: nulls dropped, then lists opened by one level."""
        return [
            item
            for value in _selected(payload, self.steps)
            if value is not None
            for item in (value if isinstance(value, list) else [value])
        ]


def _selected(value: object, steps: tuple[Step, ...]) -> Iterator[object]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield from _selected(value[step], rest)
    elif isinstance(value, list):
        chosen = value if isinstance(step, Wildcard) else value[step : step + 1]
        for item in chosen:
            yield from _selected(item, rest)


def _shown(step: Step, *, first: bool) -> str:
    if isinstance(step, Wildcard):
        return "[]"
    if isinstance(step, int):
        return f"[{step}]"
    key = step if re.fullmatch(r"[\w-]+", step) else f'"{step}"'
    return key if first else f".{key}"
