"""Reads the few constructs of Go templates that the chart uses, and refuses any other: what it renders, Helm does too.

`{{ .A.b }}` with `| quote`, `| toYaml`, `| indent N`; `if`, `if not`, `range` (with `{{ . }}`) and `end`; `{{-` trims.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

_ACTION = re.compile(r"(\s*)\{\{(-?) (.*?) \}\}")
_PATH = re.compile(r"\.(?:[A-Za-z]+(?:\.[A-Za-z]+)*)?")


def render(text: str, values: Any) -> str:
    """A template's text with `values` (`{"Values": ..., "Release": ...}`). Raises ValueError at any other construct."""
    parts = list(_parts(text))
    out, rest = _block(parts, 0, values, values)
    if rest != len(parts):
        raise ValueError("`end` without a beginning")
    return out


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """Text and actions in turn; an action that trims has lost the white space before it."""
    at = 0
    for match in _ACTION.finditer(text):
        yield False, text[at : match.start()] + ("" if match[2] else match[1])
        yield True, match[3]
        at = match.end()
    yield False, text[at:]
    if "{{" in text[at:]:
        raise ValueError("an action that is not understood")


def _block(parts: list[tuple[bool, str]], at: int, root: Any, dot: Any) -> tuple[str, int]:
    out = ""
    while at < len(parts):
        action, text = parts[at]
        if not action:
            out += text
        elif text == "end":
            return out, at
        elif text.startswith(("if ", "range ")):
            inner, at = _control(parts, at, root, dot)
            out += inner
        else:
            out += _value(text, root, dot)
        at += 1
    return out, at


def _control(parts: list[tuple[bool, str]], at: int, root: Any, dot: Any) -> tuple[str, int]:
    if sum(action and text.startswith(("if ", "range ")) for action, text in parts) != parts.count((True, "end")):
        raise ValueError("as many ends as beginnings are wanted")
    word, _, condition = parts[at][1].partition(" ")
    if word == "range":
        out, end = "", at
        items = _lookup(condition, root, dot)
        if not items:
            raise ValueError("an empty range")
        for item in items:
            inner, end = _block(parts, at + 1, root, item)
            out += inner
        return out, end
    negated = condition.startswith("not ")
    holds = bool(_lookup(condition.removeprefix("not "), root, dot)) != negated
    inner, end = _block(parts, at + 1, root, dot)
    return (inner if holds else ""), end


def _lookup(path: str, root: Any, dot: Any) -> Any:
    if not _PATH.fullmatch(path):
        raise ValueError(f"`{path}` is not understood")
    if path == ".":
        return dot
    found = root
    for key in path[1:].split("."):
        found = found[key]  # a name that is not there is an error here, and nothing in Helm
    return found


def _value(text: str, root: Any, dot: Any) -> str:
    path, *functions = (part.strip() for part in text.split("|"))
    value = _lookup(path, root, dot)
    for function in functions:
        name, _, argument = function.partition(" ")
        if name == "quote":
            value = json.dumps(str(value))
        elif name == "toYaml":
            value = yaml.safe_dump(value, default_flow_style=False).rstrip("\n")
        elif name == "indent":
            value = "\n".join(" " * int(argument) + line for line in str(value).split("\n"))
        else:
            raise ValueError(f"`{name}` is not understood")
    return str(value)
