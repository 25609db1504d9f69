"""The reference page `docs/policy.md`, made from the model and the claims, so that it cannot fall behind them.

`python -m vecguard.policy.document > docs/policy.md` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, Final

from vecguard.policy import claims
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.explain import explain
from vecguard.policy.load import schema

# Heading of each entry's table, in the order of the page.
_SECTIONS: Final[Mapping[str, str]] = {
    "Policy": "The file",
    "Access": "access",
    "Role": "access.roles[]",
    "RoleGrant": "access.roles[].grants[]",
    "AttributeOf": "access.roles[].row_filter: attribute",
    "RoleLimits": "access.roles[].limits",
    "Rate": "access.roles[].rate",
    "ApiKey": "access.api_keys[]",
    "Account": "access.accounts[]",
    "JwtIssuer": "access.jwt[]",
    "CertificateSubject": "access.certificates[]",
    "CollectionPolicy": "collections[]",
    "VectorRule": "collections[].vectors[]",
    "RotationSpec": "transforms: kind: rotation",
    "GaussianSpec": "transforms: kind: gaussian",
    "AnalyticGaussianSpec": "transforms: kind: analytic-gaussian",
    "LaplaceSpec": "transforms: kind: laplace",
    "ScaleAndPerturbSpec": "transforms: kind: scale-and-perturb",
    "PurkayasthaSpec": "transforms: kind: purkayastha",
    "VonMisesFisherSpec": "transforms: kind: von-mises-fisher",
    "CellsSpec": "transforms: kind: cells",
    "PcaSpec": "transforms: kind: pca",
    "LearnedSpec": "transforms: kind: learned",
    "TruncateSpec": "transforms: kind: truncate",
    "JohnsonLindenstraussSpec": "transforms: kind: johnson-lindenstrauss",
    "Int8Spec": "transforms: kind: int8",
    "BinarySpec": "transforms: kind: binary",
    "RerankRule": "rerank",
    "FixedRerankRule": "rerank: fixed over-fetch",
    "PayloadRule": "payload",
    "Limits": "limits",
    "TenantRule": "tenant_keys",
    "RetentionRule": "retention",
    "IntegrityRule": "integrity",
    "DetectionRule": "detection",
    "Ladder": "detection.ladder",
    "Degraded": "detection.degraded",
    "Budgets": "detection.budgets",
    "AuditThresholds": "audit",
}

_INTRODUCTION: Final = """\
# The policy file

Made by `python -m vecguard.policy.document` from the policy's model; change that, not this page.

A policy says which collections are protected how, and who may do what. It is one YAML file (1.2 core schema: `off`,
`no` and dates are text), given by `vecguard serve --policy FILE`; without one the default policy holds.
Every key that is not listed here is an error, and so is every contradiction. What the policy does not allow is refused.

| command | does |
|---|---|
| `vecguard init [PATH]` | writes the commented default policy below |
| `vecguard policy check FILE` | reports every error as `file:line:column: entry: what to do`, then warnings; exit status 1 on errors |
| `vecguard policy explain COLLECTION [--policy FILE]` | says in plain words what holds for a collection |
| `vecguard policy schema` | prints the JSON Schema (draft 2020-12) for editors |
| `vecguard policy fit-pca SAMPLE.npy` | fits principal components to a sample of embeddings, and prints the policy's entry for them |
| `vecguard policy fit-learned SAMPLE.npy` | trains a projection on a sample of embeddings, with differential privacy if asked for, and prints the policy's entry |

A running server reads its file again on SIGHUP. A file with errors changes nothing and is reported in the log; calls
that run keep the policy that they began with. A change that no longer fits what a collection was made with is refused
when the collection is used, with the difference named.

Globs are `*`, `?` and `[a-z]`, and tell upper from lower case. Of several entries or rules the first that matches
decides; `check` warns of one that can never be reached. Payload paths are Qdrant's: `metadata.source`, `tags[]`,
`meta."file.name"`; list markers make no difference, the longest entry that matches decides, and it covers all below it.
"""  # noqa: E501 - table rows cannot be broken


def render() -> str:
    """The whole page as Markdown."""
    template = resources.files("vecguard.policy").joinpath("template.yaml").read_text(encoding="utf-8")
    parts = [_INTRODUCTION, "## The default policy", f"```yaml\n{template}```", "## Keys"]
    definitions = {"Policy": schema(), **schema()["$defs"]}
    for name, heading in _SECTIONS.items():
        parts += [f"### {heading}", definitions[name]["description"], _keys(definitions[name])]
    parts += ["## Field modes", _modes(), "## Queries", _queries(), "## What the default policy protects"]
    for section in explain(DEFAULT_POLICY, "example"):
        parts += [f"**{section.title}**", _table(("about", "holds"), section.lines)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _keys(definition: Mapping[str, Any]) -> str:
    required = definition.get("required", [])
    rows = [
        (f"`{key}`", _values(about), "required" if key in required else _default(about), about.get("description", ""))
        for key, about in definition["properties"].items()
    ]
    return _table(("key", "value", "default", "meaning"), rows)


def _default(about: Mapping[str, Any]) -> str:
    if "default" not in about:
        return "its defaults"
    if about["default"] is None:
        return "none"
    text = json.dumps(about["default"])
    return "as above" if "{" in text and text != "{}" else f"`{text}`"


def _values(about: Mapping[str, Any]) -> str:
    """The values that a key takes, in words, from its JSON Schema."""
    if "$ref" in about:
        return f"see {_SECTIONS[about['$ref'].rsplit('/', 1)[1]]}"
    for choice in ("oneOf", "anyOf"):
        if choice in about:
            options = [option for option in about[choice] if option.get("type") != "null"]
            return " or ".join(_values(option) for option in options)
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    match about["type"]:
        case "array":
            return f"list; each: {_items(about['items'])}"
        case "object":
            return f"mapping; each: {_values(about['additionalProperties'])}"
        case "integer" | "number":
            return _range(about)
        case "boolean":
            return "`true` or `false`"
    return "text"


def _items(about: Mapping[str, Any]) -> str:
    return "see transforms" if "discriminator" in about else _values(about)


def _range(about: Mapping[str, Any]) -> str:
    if not {"minimum", "exclusiveMinimum"} & about.keys():
        return "whole number" if about["type"] == "integer" else "number"
    low = f"above {about['exclusiveMinimum']:g}" if "exclusiveMinimum" in about else f"{about['minimum']:,}"
    kind = "whole number" if about["type"] == "integer" else "number"
    return f"{kind}, {low} to {about['maximum']:,}"


def _modes() -> str:
    rows = [(f"`{mode}`", claims.MODE_AT_REST[mode], claims.MODE_FILTERS[mode]) for mode in claims.MODE_AT_REST]
    return _table(("mode", "at rest", "filters"), rows)


def _queries() -> str:
    lead = (
        "With noise and re-ranking on (without noise every query is exact; with `rerank: off` no search by vector is):"
    )
    exact = [(kind, "exact", text) for kind, text in claims.EXACT_QUERIES.items()]
    rest = [(kind, "approximate", text) for kind, text in claims.APPROXIMATE_QUERIES.items()]
    return f"{lead}\n\n{_table(('query', 'result', 'why'), [*exact, *rest])}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    print(render(), end="")
