"""Template values that are no numbers: they once made a condition vanish, and with it the filter."""

from __future__ import annotations

import math

import pytest

from front.milvus.schemas import field_of, policy_with, schema_of, shield_for
from vecguard.errors import InvalidArgument
from vecguard.front.milvus import filters
from vecguard.front.milvus.proto import s
from vecguard.policy.model import PayloadRule

FIELDS = (field_of("meta", "JSON"), field_of("f", "Float"), field_of("d", "Double"), field_of("open", "Double"))
RULE = PayloadRule(default="searchable", fields={"open": "plain"})
SHIELD, LAYOUT = shield_for(schema_of(*FIELDS, dynamic=True), policy_with(RULE))


def one(value: float) -> s.TemplateValue:
    return s.TemplateValue(float_val=value)


def several(value: float) -> s.TemplateValue:
    return s.TemplateValue(array_val=s.TemplateArrayValue(double_data=s.DoubleArray(data=[1.0, value])))


def as_json(value: float) -> s.TemplateValue:
    text = {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}[str(value)]
    return s.TemplateValue(array_val=s.TemplateArrayValue(json_data=s.JSONArray(data=[text])))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ['meta["a"]', "loose", "f", "d", "open"])
def test_what_is_no_number_is_refused_wherever_it_stands(field: str, value: float) -> None:
    for text in ("{0} == {{x}}", "{0} != {{x}}", "not ({0} == {{x}})", "open == 1 or {0} == {{x}}"):
        with pytest.raises(InvalidArgument, match="finite"):
            filters.rewrite(text.format(field), {"x": one(value)}, LAYOUT, SHIELD)
    for text in ("{0} in {{x}}", "{0} not in {{x}}"):
        for values in (several(value), as_json(value)):
            with pytest.raises(InvalidArgument, match="finite"):
                filters.rewrite(text.format(field), {"x": values}, LAYOUT, SHIELD)
    if field in ('meta["a"]', "loose"):
        for name, given in (("", one), ("_any", several), ("_all", several)):
            with pytest.raises(InvalidArgument, match="finite"):
                filters.rewrite(f"json_contains{name}({field}, {{x}})", {"x": given(value)}, LAYOUT, SHIELD)


@pytest.mark.parametrize("field", ['meta["a"]', "loose", "f", "d"])
def test_numbers_are_asked_for(field: str) -> None:
    for value in (0.0, -0.0, 1.5, 2.0**70, 1e300):
        for text in (f"{field} == {{x}}", f"{field} != {{x}}", f"not ({field} == {{x}})"):
            rewritten = filters.rewrite(text, {"x": one(value)}, LAYOUT, SHIELD).text
            assert "vg:" in rewritten
            assert "()" not in rewritten
