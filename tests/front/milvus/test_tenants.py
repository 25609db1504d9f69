"""Whose rows are whose, at rest: no keys mean no rows, never all of them."""

from __future__ import annotations

import pytest

from front.milvus.schemas import field_of, policy_with, schema_of
from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression import conjunction
from vecguard.front.milvus.layout import INT64, TENANT_FIELD
from vecguard.front.milvus.schema import declare
from vecguard.front.milvus.tenants import of_keys, without_keys
from vecguard.policy.tenants import TenantRule

FIRST, LAST = 2**31, 2**32 - 1


def test_rows_of_keys() -> None:
    assert of_keys((LAST, FIRST)) == f"_vgk in [{FIRST}, {LAST}]"
    assert without_keys((FIRST,)) == f"_vgk not in [{FIRST}]"


def test_rows_of_no_keys_are_no_rows() -> None:
    """Numbers of keys are 2^31 and above, so no row has the one that is asked for."""
    assert of_keys(()) == "_vgk in [-1]"
    assert conjunction("a > 1 or b > 2", of_keys(())) == "(a > 1 or b > 2) and _vgk in [-1]"
    assert conjunction("", of_keys(())) == "_vgk in [-1]"


def test_the_caller_may_say_whose_rows_are_in_any_collection() -> None:
    policy = policy_with().model_copy(update={"tenant_keys": TenantRule(attribute="org")})
    stored = declare(schema_of(field_of("open", "Int64")), policy).stored
    (found,) = [field for field in stored.fields if field.name == TENANT_FIELD]
    assert (found.data_type, found.nullable) == (INT64, False)


@pytest.mark.parametrize("field", ["open", "nothing", "v"])
def test_a_field_has_to_say_it_of_every_row(field: str) -> None:
    policy = policy_with().model_copy(update={"tenant_keys": TenantRule(field=field)})
    with pytest.raises(InvalidArgument, match=r"tenant_keys needs a column|neither be null nor have a default"):
        declare(schema_of(field_of("open", "Int64", nullable=True)), policy)
