"""Qdrant's OpenAPI document as `qdrant-client` carries it: the operations, their parameters, and what they answer.

The client's REST modules are generated from the published document, one method an operation and one model a schema;
this reads them back. Answers are held against JSON Schema made of those models, with keys that a model does not name
refused, which the document itself would let pass.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from pydantic import TypeAdapter
from qdrant_client.http import api, models
from qdrant_client.http.api import (
    aliases_api,
    beta_api,
    collections_api,
    distributed_api,
    indexes_api,
    points_api,
    quotas_api,
    search_api,
    service_api,
    snapshots_api,
)

MODULES = (
    *(aliases_api, beta_api, collections_api, distributed_api, indexes_api),
    *(points_api, quotas_api, search_api, service_api, snapshots_api),
)
OLD = {
    f"/collections/{{collection_name}}/points/{path}": result
    for path, result in {
        "search": list[models.ScoredPoint],
        "search/batch": list[list[models.ScoredPoint]],
        "search/groups": models.GroupsResult,
        "recommend": list[models.ScoredPoint],
        "recommend/batch": list[list[models.ScoredPoint]],
        "recommend/groups": models.GroupsResult,
        "discover": list[models.ScoredPoint],
        "discover/batch": list[list[models.ScoredPoint]],
    }.items()
}
"""Endpoints of older servers, which the client no longer has: path to the type of the result."""


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    query: frozenset[str]
    answer: Any
    name: str


class _Recorder:
    """Takes the request that a client's method would send."""

    def request(self, *, type_: Any, method: str, url: str, params: Any = None, **_: Any) -> Any:
        return method, url, frozenset(params or ()), type_


def _dummy(parameter: inspect.Parameter) -> Any:
    return 1 if parameter.name != "wait" else True


@cache
def operations() -> tuple[Operation, ...]:
    """All operations."""
    found = []
    for module in MODULES:
        classes = [
            c for name, c in vars(module).items() if inspect.isclass(c) and name.startswith("_") and "Api" in name
        ]
        for holder in classes:
            for name, method in vars(holder).items():
                if name.startswith("_build_for_"):
                    arguments = {p.name: _dummy(p) for p in list(inspect.signature(method).parameters.values())[1:]}
                    sent = method(holder(_Recorder()), **arguments)
                    found.append(Operation(*sent, name.removeprefix("_build_for_")))
    assert len(found) > 60
    assert api.__name__ == "qdrant_client.http.api"
    return tuple(found)


def _closed(schema: Any) -> Any:
    """The schema with no other keys than it names."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    if "properties" in closed and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


@cache
def _validator(answer: Any) -> Validator:
    return Draft202012Validator(_closed(TypeAdapter(answer).json_schema(mode="validation")))


@cache
def _envelope(result: Any) -> Validator:
    schema = _closed(TypeAdapter(result).json_schema(mode="validation"))
    definitions = schema.pop("$defs", {})
    parts = {"result": schema, "status": {"const": "ok"}, "time": {"type": "number"}, "usage": {}}
    envelope = {"type": "object", "properties": parts, "required": ["result", "status", "time"], "$defs": definitions}
    return Draft202012Validator({**envelope, "additionalProperties": False})


def _matches(template: str, path: str) -> bool:
    one, other = template.split("/"), path.split("/")
    return len(one) == len(other) and all(a == b or a.startswith("{") for a, b in zip(one, other, strict=True))


def operation(method: str, path: str) -> Operation | None:
    """The operation of a request's path; where several match, the one that is written out more."""
    fitting = [one for one in operations() if one.method == method and _matches(one.path, path)]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


def check(method: str, path: str, code: int, content: Any) -> None:
    """Assert that an answer is one that the document allows. `content` is the JSON of the body."""
    if code >= 400:
        _validator(models.ErrorResponse).validate(content)
        assert content["status"]["error"]
        assert content["time"] >= 0
        return
    assert code == 200, code
    old = next((result for template, result in OLD.items() if _matches(template, path)), None)
    if old is not None:
        _envelope(old).validate(content)
        return
    found = operation(method, path)
    assert found is not None, f"{method} {path} is not in the document"
    _validator(found.answer).validate(content)
    if found.answer is not models.VersionInfo:
        assert content["status"] == "ok"
        assert content["time"] >= 0
        assert content["result"] is not None
