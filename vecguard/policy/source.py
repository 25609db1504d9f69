"""Policy text to plain values, with the place of every value, so that each error can name its line.

YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema) over PyYAML's parser: `off`, `no` and dates are
text, not booleans and timestamps. Duplicate keys, foreign tags, endless aliases and non-text keys are problems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from vecguard.policy.paths import render

Path = tuple[str | int, ...]

# A policy is written by hand; far more nodes than this only come from nested aliases.
_MAX_NODES: Final = 100_000


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a policy file: where, which entry, and what to do about it."""

    file: str
    place: Place
    path: str
    text: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}"
        return f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"


@dataclass(slots=True)
class Source:
    """A parsed file: its values, where each stands, and what was wrong with the text itself."""

    file: str
    values: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(
        self, path: Path, text: str, *, on_key: bool = False, severity: Literal["error", "warning"] = "error"
    ) -> Problem:
        """A problem at a path, placed at the nearest entry that the file has."""
        return Problem(self.file, self.place(path, on_key=on_key), written(path), text, severity)

    def place(self, path: Path, *, on_key: bool = False) -> Place:
        """Where a path stands; for a path that the file does not have, where the nearest entry above it stands."""
        if on_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


def written(path: Path) -> str:
    """A path as people write it: `collections[0].payload.fields."a.b"`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}"
    return text.removeprefix(".")


def _quoted(key: str) -> str:
    return f"'{key}'" if '"' in key else render((key,))


def parse_source(text: str, file: str) -> Source:
    """Parse policy text; what is wrong with it stands in `problems`, and `values` holds what could be read."""
    source = Source(file)
    try:
        root = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        source.problems.append(Problem(file, place, "", _syntax_text(fault)))
        return source
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        place = Place(before.count("\n") + 1, fault.position - before.rfind("\n"))
        source.problems.append(Problem(file, place, "", "holds a control character, which YAML does not allow"))
        return source
    except RecursionError:
        source.problems.append(Problem(file, Place(1, 1), "", "is nested too deeply for a policy"))
        return source
    if root is None:
        text = "is empty: a policy needs `version: 1` and `collections` (`vecguard init` writes one to start from)"
        source.problems.append(Problem(file, Place(1, 1), "", text))
        return source
    source.values = _Reader(source).read(root, ())
    return source


def _syntax_text(fault: yaml.MarkedYAMLError) -> str:
    if "single document" in str(fault.context):
        return "holds more than one document: keep one, without `---` in between"
    said = fault.problem or fault.context or "cannot be parsed"
    hint = ""
    if "\\t" in said or "'\t'" in said:
        hint = ": indent with spaces, not tabs"
    elif "alias" in said:
        hint = ": put text that starts with `*` in quotes"
    return f"is not YAML: {said}{hint}"


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's scanner with the scalar types of YAML 1.2's core schema."""


_SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
)
_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _SCALARS:
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), [*_first])


class _Reader:
    """Turns YAML nodes into plain values, filling in a `Source` on the way."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: set[int] = set()
        self._left = _MAX_NODES

    def read(self, node: yaml.Node, path: Path) -> Any:
        """The plain value of a node; None where it could not be read (a problem is noted then)."""
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
        self._source.places.setdefault(path, place)
        self._left -= 1
        if id(node) in self._open or self._left < 0:
            return self._refuse(place, path, "refers to itself or grows without end by aliases: write it out")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, place, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(place, path, "a key must be text, not a list or a mapping")
                continue
            key = str(key_node.value)
            below = (*path, key)
            if key in values:
                first = self._source.keys[below]
                self._refuse(place, below, f"is given twice, first in line {first.line}: keep one of them")
                continue
            self._source.keys[below] = place
            if not isinstance(value_node, yaml.ScalarNode):
                self._source.places[below] = place  # a section is best found by its name
            values[key] = self.read(value_node, below)
        return values

    def _scalar(self, node: yaml.Node, place: Place, path: Path) -> Any:
        value = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return value
            case "null":
                return None
            case "bool":
                return value.lower() == "true"
            case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", value):
                return int(value)
            case "float" if not value.lower().endswith(("inf", "nan")):
                return float(value)
            case "int" | "float":
                return self._refuse(place, path, f"`{value[:40]}` is not a number that a policy can hold")
        return self._refuse(place, path, f"has the tag `{node.tag}`, which a policy does not use: remove it")

    def _refuse(self, place: Place, path: Path, text: str) -> None:
        self._source.problems.append(Problem(self._source.file, place, written(path), text))
