"""Reading the policy file: all errors at once with their lines, warnings, JSON Schema, and exchange while running."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from vecguard.errors import ConfigError
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.diagnose import validate
from vecguard.policy.globs import shadowed
from vecguard.policy.model import Policy
from vecguard.policy.source import Place, Problem, Source, parse_source
from vecguard.policy.transforms import FittedSpec, LearnedSpec

_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a policy file found. `policy` is None exactly when there are errors."""

    policy: Policy | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load(path: str | Path) -> Policy:
    """Read a policy file. Raises `errors.ConfigError` that lists every error as `file:line:column: entry: text`."""
    return _require(check(path))


def loads(text: str, file: str = "<policy>") -> Policy:
    """Read a policy from text; `file` names it in errors. Raises `errors.ConfigError` as `load` does."""
    return _require(check_text(text, file))


def check(path: str | Path) -> Checked:
    """Look at a policy file and report everything that is wrong or doubtful; raises nothing."""
    file = str(path)
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as fault:
        return _unreadable(file, f"cannot be read: {fault.strerror or fault}")
    except UnicodeDecodeError as fault:
        return _unreadable(file, f"is not UTF-8 text (byte {fault.start})")
    if len(data) > _MAX_BYTES:
        return _unreadable(file, f"is larger than {_MAX_BYTES >> 20} MiB, which no policy needs to be")
    return check_text(text, file)


def check_text(text: str, file: str = "<policy>") -> Checked:
    """Look at policy text as `check` does at a file."""
    source = parse_source(text, file)
    policy, errors = validate(source)
    if policy is not None and (errors := list(_unusable(source, policy))):
        policy = None
    warnings = tuple(_warnings(source, policy)) if policy is not None else ()
    return Checked(policy, tuple(sorted(errors, key=lambda problem: problem.place)), warnings)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the policy file, for editors and pipelines."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()}


class PolicyHolder:
    """The policy in force, exchangeable while calls run.

    A call reads `current` once and keeps what it read; a reload never changes a policy that is in use.
    """

    def __init__(self, path: str | Path | None = None, require: Callable[[Policy], None] | None = None) -> None:
        """Read the file, or take the default policy without one.

        Raises `errors.ConfigError` when it has errors, or when `require` does; that looks at every later one, too.
        """
        self._path = path
        self._require = require
        self._current = DEFAULT_POLICY if path is None else load(path)
        if require is not None:
            require(self._current)
        self._reloading = threading.Lock()

    @property
    def current(self) -> Policy:
        """The policy in force."""
        return self._current

    @property
    def digest(self) -> str:
        """16 hex digits that two policies share only if they say the same."""
        return hashlib.sha256(self._current.model_dump_json().encode()).hexdigest()[:16]

    def reload(self) -> tuple[Problem, ...]:
        """Read the file again and put it in force; a file with errors changes nothing, and its errors are returned."""
        if self._path is None:
            return ()
        with self._reloading:
            checked = check(self._path)
            if checked.policy is None:
                return checked.errors
            try:
                if self._require is not None:
                    self._require(checked.policy)
            except ConfigError as fault:
                return (Problem(str(self._path), Place(1, 1), "access", str(fault)),)
            self._current = checked.policy
            return ()


def _require(checked: Checked) -> Policy:
    if checked.policy is None:
        raise ConfigError("\n".join(str(problem) for problem in checked.errors))
    return checked.policy


def _unreadable(file: str, text: str) -> Checked:
    return Checked(None, (Problem(file, Place(1, 1), "", text),), ())


def _warnings(source: Source, policy: Policy) -> Iterator[Problem]:
    if "admin" in policy.access.anonymous:
        text = "lets callers without a credential administer: leave `admin` out unless only you can reach the proxy"
        yield source.problem(("access", "anonymous"), text, severity="warning")
    yield from _without_use(source, policy)
    yield from _unreachable(source, ("collections",), [entry.match for entry in policy.collections])
    for index, entry in enumerate(policy.collections):
        below = ("collections", index, "vectors")
        if not entry.protected or below not in source.places:
            continue
        yield from _unreachable(source, below, [rule.match for rule in entry.vectors])
        for position, rule in enumerate(entry.vectors):
            if rule.noise is None:
                text = "has no noise: about as many leaked pairs as the vectors have dimensions undo a rotation"
                yield source.problem((*below, position, "transforms"), text, severity="warning")


def _without_use(source: Source, policy: Policy) -> Iterator[Problem]:
    """Roles that filter by a field which no filter can use, where they apply."""
    for index, role in enumerate(policy.access.roles):
        globs = [glob for grant in role.grants for glob in grant.collections]
        for field in role.row_filter:
            for entry in policy.collections:
                touched = any(fnmatchcase(entry.match, glob) or fnmatchcase(glob, entry.match) for glob in globs)
                if touched and entry.protected and entry.payload.mode(field) not in ("plain", "searchable"):
                    text = (
                        f"filters by a field that is neither plain nor searchable in {entry.name}, "
                        "so every call of the role is refused there: "
                        "make it searchable or plain in `payload.fields`"
                    )
                    yield source.problem(("access", "roles", index, "row_filter", field), text, severity="warning")


def _unusable(source: Source, policy: Policy) -> Iterator[Problem]:
    """Artefacts that cannot be read, or are not those that the policy names."""
    # Not before it is needed: commands that serve say first how many threads numpy may start.
    from vecguard.transform import learned, pca

    for index, entry in enumerate(policy.collections):
        for position, rule in enumerate(entry.vectors):
            for step, spec in enumerate(rule.transforms):
                if isinstance(spec, FittedSpec):
                    try:
                        if isinstance(spec, LearnedSpec):
                            learned.read_named(spec)
                            learned.read_privacy(spec)
                        else:
                            pca.read_named(spec)
                    except ConfigError as fault:
                        below = ("collections", index, "vectors", position, "transforms", step)
                        yield source.problem(below, str(fault))


def _unreachable(source: Source, below: tuple[str | int, ...], globs: list[str]) -> Iterator[Problem]:
    for index, glob in enumerate(globs):
        if index and shadowed(glob, globs[:index]):
            text = f"`{glob}` is never reached, entries above match all that it matches: move it up or remove it"
            yield source.problem((*below, index, "match"), text, severity="warning")
