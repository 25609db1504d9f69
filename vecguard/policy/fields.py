"""Longest-path look-up of payload rules: a trie over path keys, with a bounded memory of recent answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from vecguard.policy.paths import parse, render

Mode = TypeVar("Mode")

# Keys come from clients' payloads: the memory must not grow with them.
_REMEMBERED: Final = 4096


class FieldRule(NamedTuple, Generic[Mode]):
    """A decision: the mode, and the name of the policy entry below `payload` that made it."""

    mode: Mode
    name: str


class _Node(Generic[Mode]):
    __slots__ = ("below", "rule")

    def __init__(self) -> None:
        self.rule: FieldRule[Mode] | None = None
        self.below: dict[str, _Node[Mode]] = {}


class FieldRules(Generic[Mode]):
    """Rules by payload path; the longest entry that is a prefix of a path decides.

    Raises `errors.InvalidArgument` at construction when an entry is not a payload path.
    """

    def __init__(self, default: Mode, fields: Mapping[str, Mode]) -> None:
        self._default = FieldRule(default, "default")
        self._root: _Node[Mode] = _Node()
        self._recent: dict[tuple[str, ...], FieldRule[Mode]] = {}
        for path, mode in fields.items():
            self._add(parse(path), mode)

    def _add(self, keys: tuple[str, ...], mode: Mode) -> None:
        node = self._root
        for key in keys:
            node = node.below.setdefault(key, _Node())
        node.rule = FieldRule(mode, f"fields.{_as_written(render(keys))}")

    def at(self, keys: tuple[str, ...]) -> FieldRule[Mode]:
        """The rule that decides for a path given as its keys."""
        rule = self._recent.get(keys)
        if rule is None:
            rule = self._search(keys)
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[keys] = rule
        return rule

    def _search(self, keys: tuple[str, ...]) -> FieldRule[Mode]:
        best, node = self._default, self._root
        for key in keys:
            below = node.below.get(key)
            if below is None:
                break
            node = below
            best = node.rule or best
        return best


def _as_written(path: str) -> str:
    if '"' in path:
        return f"'{path}'"
    return f'"{path}"' if "." in path else path
