"""Pydantic's findings turned into problems with a line, in plain words that say what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vecguard.policy import faults
from vecguard.policy.model import Policy
from vecguard.policy.source import Path, Problem, Source

_KINDS: Final = {
    "string_type": "must be text: put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of `key: value` lines",
    "model_type": "must be a mapping of `key: value` lines",
    "model_attributes_type": "must be a mapping of `key: value` lines, such as `kind: rotation`",
    "tuple_type": "must be a list: start each entry with `- `",
    "too_short": "must have at least one entry: add one, or remove the key to get the default",
    "string_too_short": "must not be empty",
    "missing": "is missing: add it",
}
# Findings about entries that no cross-check looks at: the checks can run as if they had never been there.
_NEEDLESS: Final = frozenset({"extra_forbidden", "payload_path"})
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def validate(source: Source) -> tuple[Policy | None, list[Problem]]:
    """Validate a parsed file; the policy is None when there is any problem.

    Cross-checks of an entry do not run while a value below it is wrong, so what is wrong is taken out and the rest is
    looked at again: one run reports everything.
    """
    problems: list[Problem] = list(source.problems)
    if source.values is None:
        return None, problems or [source.problem((), "is empty")]
    folder = FilePath(source.file).parent
    policy, details = _attempt(source.values, folder)
    rest, taken_out = deepcopy(source.values), set[Path]()
    while details:
        found = [(_real_path(source.values, detail), detail) for detail in details]
        news = [(path, detail) for path, detail in found if not _follows(path, detail, taken_out)]
        problems += [problem for path, detail in news for problem in _problems(source, path, detail)]
        removed = [(_take_out(rest, path, detail), detail["type"] in _NEEDLESS) for path, detail in news]
        if not any(cut for cut, _ in removed):
            break
        taken_out |= {cut for cut, needless in removed if cut and not needless}
        details = _attempt(rest, folder)[1]
    problems = _once_a_place(problems)
    return (None if problems else policy), problems


def _once_a_place(problems: list[Problem]) -> list[Problem]:
    """The first finding of each entry: a value that could not even be read needs no second complaint."""
    return list({(problem.place, problem.path): problem for problem in reversed(problems)}.values())


def _attempt(values: Any, folder: FilePath) -> tuple[Policy | None, list[ErrorDetails]]:
    """Validate; files that the policy names stand relative to `folder`."""
    try:
        return Policy.model_validate(values, context={"folder": folder}), []
    except ValidationError as error:
        # Pydantic counts only sound items, and so calls a list short whose items it has just refused.
        details = error.errors(include_url=False)
        return None, [detail for detail in details if not (detail["type"] == "too_short" and detail["input"])]


def _real_path(values: Any, detail: ErrorDetails) -> Path:
    """Pydantic's location without the union tags that it puts between the keys of the file."""
    path: list[str | int] = []
    for position, step in enumerate(detail["loc"], start=1):
        below = _below(values, step)
        absent_key = detail["type"] == "missing" and position == len(detail["loc"])
        if below is not None:
            values = below[0]
        if below is not None or absent_key:
            path.append(step)
    return tuple(path)


def _below(values: Any, step: str | int) -> tuple[Any] | None:
    """The value one step down, boxed; None where there is no such step."""
    if isinstance(values, dict) and step in values:
        return (values[step],)
    if isinstance(values, list) and isinstance(step, int) and step < len(values):
        return (values[step],)
    return None


def _follows(path: Path, detail: ErrorDetails, taken_out: set[Path]) -> bool:
    """Whether an error only comes from what an earlier round took out."""
    if detail["type"] == "missing":
        return path in taken_out
    if detail["type"] == faults.ERROR_TYPE:
        return any(cut[:-1] == path for cut in taken_out)
    return False


def _take_out(values: Any, path: Path, detail: ErrorDetails) -> Path | None:
    """Remove what an error is about from `values`, or the list that it stands in; what was removed."""
    if detail["type"] in {"missing", faults.ERROR_TYPE} or not path:
        return None
    while path and isinstance(path[-1], int):
        path = path[:-1]
    for step in path[:-1]:
        below = _below(values, step)
        if below is None:
            return None
        values = below[0]
    if isinstance(values, dict) and path[-1] in values:
        del values[path[-1]]
        return path
    return None


def _problems(source: Source, path: Path, detail: ErrorDetails) -> Iterator[Problem]:
    context = detail.get("ctx", {})
    if detail["type"] == faults.ERROR_TYPE:
        for fault in context["faults"]:
            yield source.problem((*path, *fault.at), fault.text)
        return
    on_key = detail["type"] in _NEEDLESS
    yield source.problem(path, _text(path, detail, context), on_key=on_key)


def _text(path: Path, detail: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), tuple(detail["loc"][:-1]))
    if value is None and kind != "missing":
        return "has no value: write one, or remove the key to get the default"
    if kind in {"literal_error", "union_tag_invalid"}:
        return _one_of(value, context)
    if kind == "union_tag_not_found":
        kinds = [f"`kind: {_kind(model)}`" for model in _models_at(tuple(detail["loc"]))]
        return f"`kind` is missing: add {' or '.join(kinds)}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {context[name]:g}, not {value}"
    return _KINDS.get(kind, detail["msg"])


def _one_of(value: Any, context: Mapping[str, Any]) -> str:
    allowed = str(context.get("expected") or context.get("expected_tags")).replace("'", "`").replace("`, `", "` or `")
    given = context.get("tag", value)
    close = difflib.get_close_matches(str(given), allowed.replace("`", "").split(" or "), n=1)
    return f"must be {allowed}, not `{given}`" + (f": did you mean `{close[0]}`?" if close else "")


def _unknown_key(key: str, loc: tuple[str | int, ...]) -> str:
    here = _models_at(loc)
    known = [name for model in here for name in model.model_fields]
    homes = sorted({home for home, model in _sections(Policy) if key in model.model_fields})
    if homes:
        return f"does not belong here but under {' or '.join(f'`{home}`' for home in homes)}"
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"is not a key that exists here: did you mean `{close[0]}`?"
    return f"is not a key that exists here: use {', '.join(f'`{name}`' for name in known)}"


def _models_at(loc: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """The models that may stand at a location; union tags choose among several."""
    models: list[type[BaseModel]] = [Policy]
    for step in loc:
        fields = [model.model_fields[step] for model in models if isinstance(step, str) and step in model.model_fields]
        if fields:
            models = [model for info in fields for model in _models_in(info.annotation)]
        else:
            models = [model for model in models if _kind(model) == step] or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in {dict, tuple, Union, UnionType, Annotated}:
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []


def _kind(model: type[BaseModel]) -> str | None:
    info = model.model_fields.get("kind")
    return str(get_args(info.annotation)[0]) if info is not None and get_origin(info.annotation) is Literal else None


def _sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, info in model.model_fields.items():
        for below in _models_in(info.annotation):
            yield name, below
            yield from _sections(below)
