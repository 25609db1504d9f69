"""Keys of each tenant's own: `tenant_keys: {field: tenant}` or `{attribute: tenant}` in a collection's entry."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from vecguard.policy.entry import PolicyEntry
from vecguard.policy.faults import Fault, raise_if_any


class TenantRule(PolicyEntry):
    """What says whose a record is. Its value, one text, whole number or boolean, selects the data key."""

    field: str | None = Field(
        default=None,
        description="A `plain` or `searchable` payload field that every record must have; it is sealed with the "
        "collection's own key, so that filters on it work for all tenants.",
    )
    attribute: str | None = Field(
        default=None,
        min_length=1,
        description="An attribute of the caller, of which it must have one value: all that it writes is under that "
        "tenant's key, and no call of its sees or touches another tenant's records.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        text = "say either `field` or `attribute`"
        raise_if_any([Fault((), text)] if (self.field is None) == (self.attribute is None) else [])
        return self

    @property
    def shown(self) -> str:
        """As in a policy file."""
        return f"{{field: {self.field}}}" if self.field is not None else f"{{attribute: {self.attribute}}}"
