"""Rerank functions that the database computes: what of them is sent there."""

from __future__ import annotations

import pytest

from front.milvus.schemas import field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument, Refused
from vecguard.front.milvus.function_scores import for_database
from vecguard.front.milvus.placeholder import read_queries
from vecguard.front.milvus.proto import c, s

FIELDS = (field_of("open", "Int64"), field_of("other", "Int64"), field_of("word", "VarChar", {"max_length": 9}))
SHIELD, LAYOUT = shield_for(schema_of(*FIELDS))
DECAY = {"reranker": "decay", "function": "gauss", "origin": "1", "scale": "2"}


def score(*pairs: tuple[str, str], inputs: tuple[str, ...] = ()) -> s.FunctionScore:
    function = s.FunctionSchema(name="f", description="Berlin", type=s.FunctionType.Rerank, input_field_names=inputs)
    function.params.extend(c.KeyValuePair(key=key, value=value) for key, value in pairs)
    return s.FunctionScore(functions=[function])


def sent(message: s.FunctionScore) -> s.FunctionScore | None:
    return for_database(message, LAYOUT, SHIELD)


def test_descriptions_stay_here_and_filters_are_rewritten() -> None:
    found = sent(score(("reranker", "boost"), ("Filter", 'word == "Berlin" and open > 3'), ("weight", "2")))
    assert found is not None
    assert b"Berlin" not in found.SerializeToString()
    assert b"vg:" in found.SerializeToString()
    assert b"open > 3" in found.SerializeToString()


def test_values_that_the_database_has_not_are_no_input() -> None:
    assert sent(score(*DECAY.items(), inputs=("open",))) is not None
    assert sent(score(*DECAY.items(), inputs=("other",))) is None


@pytest.mark.parametrize("pairs", [{"reranker": "rrf", "note": "Berlin"}, DECAY | {"queries": "Berlin"}])
def test_parameters_that_nobody_knows_are_not_passed_on(pairs: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="is not known to VecGuard"):
        sent(score(*pairs.items(), inputs=("open",) if "origin" in pairs else ()))


def test_parameters_of_all_functions_together_are_known() -> None:
    message = score(("reranker", "rrf"))
    message.params.add(key="function_mode", value="sum")
    assert sent(message) is not None
    message.params.add(key="note", value="Berlin")
    with pytest.raises(InvalidArgument, match="note"):
        sent(message)


def test_a_reranker_is_named_once() -> None:
    """Which of two a server takes is its own affair: one of them may send texts outside."""
    for pairs in ((("Reranker", "model"), ("reranker", "rrf")), (("reranker", "rrf"), ("reranker", "rrf"))):
        with pytest.raises(InvalidArgument, match="given twice"):
            sent(score(*pairs))
    with pytest.raises(Refused):
        sent(score(("reranker", "Model")))


def test_a_search_of_the_elements_of_arrays_is_refused() -> None:
    value = c.PlaceholderValue(tag="$0", type=c.PlaceholderType.FloatVector, values=[bytes(8)])
    assert len(read_queries(c.PlaceholderGroup(placeholders=[value]).SerializeToString())) == 1
    value.element_level = True
    with pytest.raises(InvalidArgument, match="elements of arrays"):
        read_queries(c.PlaceholderGroup(placeholders=[value]).SerializeToString())
