"""Validators that stop at the first fault of a list or a map, as serde does.

pydantic gathers every fault of a body: one of millions of wrong items would take gigabytes to complain of. It can be
told to stop early in each list and map by itself, but the models are not ours to annotate, so their compiled schema is.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

# Parts of a schema that hold Python objects, not schemas.
_OPAQUE: Final = frozenset({"cls", "metadata", "serialization", "function", "default", "config", "expected", "members"})


def stopping_at_first_fault(model: Any) -> SchemaValidator:
    """The validator of a model, or of any type that a pydantic field may have."""
    # Ready-made validators of nested models would be used as they are, without the change.
    return SchemaValidator(_changed(TypeAdapter(model).core_schema), None, _use_prebuilt=False)


def _changed(schema: Any) -> Any:
    if isinstance(schema, dict):
        changed = {key: part if key in _OPAQUE else _changed(part) for key, part in schema.items()}
        if changed.get("type") in ("list", "dict"):
            changed["fail_fast"] = True
        return changed
    if isinstance(schema, list | tuple):
        return type(schema)(_changed(part) for part in schema)
    return schema
