"""Search parameters: every key understood or refused, in Milvus' words; and what is asked of the database instead."""

import json

import pytest
from pymilvus.client.prepare import Prepare

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.distances import Band
from vecguard.front.milvus.proto import c
from vecguard.front.milvus.search_parameters import (
    Grouping,
    Iteration,
    boolean,
    number,
    read_rank_parameters,
    read_search_parameters,
)


def pairs(**values):
    return [c.KeyValuePair(key=key, value=value) for key, value in values.items()]


def written(**kwargs):
    """The pairs as the client writes them."""
    param = kwargs.pop("param", {})
    return Prepare.search_requests_with_expr(
        "c", "v", param, kwargs.pop("limit", 10), data=[[1.0]], **kwargs
    ).search_params


def test_langchains_build_ratio_in_a_search_goes_on_as_it_came():
    read = read_search_parameters(written(param={"metric_type": "IP", "params": {"drop_ratio_build": 0.2}}))
    assert read.knobs == {"drop_ratio_build": 0.2}


def test_what_the_client_writes():
    read = read_search_parameters(
        written(
            param={"metric_type": "L2", "params": {"nprobe": 8}, "offset": 3, "hints": "iterative_filter"},
            round_decimal=2,
            group_by_field="g",
            group_size=2,
            strict_group_size=True,
        )
    )
    assert (read.anns_field, read.limit, read.offset, read.metric, read.round_decimal) == ("v", 10, 3, "L2", 2)
    assert read.knobs == {"nprobe": 8}
    assert read.grouping == Grouping("g", 2, strict=True)
    assert read.iteration is None
    assert ("hints", "iterative_filter") in read.passed


def test_flat_index_parameters():
    read = read_search_parameters(written(param={"nprobe": 8, "radius": 0.5, "range_filter": 0.75, "ef": 20}))
    assert read.knobs == {"nprobe": 8, "ef": 20}
    assert read.band == Band(0.5, 0.75)
    beside = read_search_parameters(pairs(topk="3", ef="7", radius="1.5"))
    assert (beside.knobs, beside.band) == ({"ef": 7}, Band(1.5))


def test_candidates_are_nothing_but_the_nearest():
    read = read_search_parameters(
        written(
            param={"params": {"ef": 20, "nprobe": 8, "radius": 0.5}, "metric_type": "IP"},
            round_decimal=2,
            group_by_field=None,
            ignore_growing=True,
        )
    )
    asked = {pair.key: pair.value for pair in read.candidates(50, 0, "IP")}
    assert json.loads(asked["params"]) == {"ef": 50, "nprobe": 8}
    assert asked["topk"] == "50"
    assert asked["metric_type"] == "IP"
    assert asked["anns_field"] == "v"
    assert asked["round_decimal"] == "-1"
    assert asked["ignore_growing"] == "True"
    assert "offset" not in asked
    later = {pair.key: pair.value for pair in read.candidates(50, 50, "")}
    assert (later["offset"], json.loads(later["params"])["ef"]) == ("50", 100)
    assert "metric_type" not in later


def test_iterators():
    first = read_search_parameters(written(iterator="True"))
    assert first.iteration == Iteration(1)
    second = read_search_parameters(
        written(
            iterator=True,
            search_iter_v2=True,
            search_iter_batch_size=7,
            search_iter_last_bound=0.25,
            search_iter_id="t",
        )
    )
    assert second.iteration == Iteration(2, 7, 0.25, "t")
    assert (second.limit, second.band) == (7, Band(after=0.25))
    assert read_search_parameters(written(limit=99_999, iterator="True")).limit == 16_384


def test_defaults():
    read = read_search_parameters(pairs(topk="5"))
    assert (read.anns_field, read.limit, read.offset, read.metric, read.round_decimal) == ("", 5, 0, "", -1)
    assert (read.band, read.grouping, read.iteration, read.knobs, read.passed) == (Band(), None, None, {}, ())
    assert read_search_parameters([], default_limit=4).limit == 4
    assert read_search_parameters(pairs(topk="0x10")).limit == 16


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "topk is required"),
        ({"topk": "x"}, r"topk \[x\] is invalid"),
        ({"topk": "0"}, r"topk \[0\] is invalid, .* range \[1, 16384\], but got 0"),
        ({"topk": "16385"}, r"topk \[16385\] is invalid"),
        ({"topk": "16384", "offset": "1"}, r"offset\+topk \[16385\] is invalid"),
        ({"topk": "1", "offset": "-1"}, r"offset \[-1\] is invalid"),
        ({"topk": "1", "round_decimal": "7"}, r"round_decimal \[7\] is invalid"),
        ({"topk": "1", "round_decimal": "x"}, r"round_decimal \[x\] is invalid"),
        ({"topk": "1", "params": "x"}, "not a JSON object"),
        ({"topk": "1", "params": "[1]"}, "not a JSON object"),
        ({"topk": "1", "params": '{"radius": "near"}'}, r"radius \[near\] is not a number"),
        ({"topk": "1", "params": '{"radius": NaN}'}, "is not a number"),
        ({"topk": "1", "params": '{"vector": [1.5]}'}, "vector is not known"),
        ({"topk": "1", "params": '{"nprobe": [1.5]}'}, "nprobe must be a number"),
        ({"topk": "1", "params": '{"metric_type": "L2"}'}, "metric_type is not known"),
        ({"topk": "1", "metric_type": "IP", "params": '{"metric_type": "L2"}'}, "metric_type is not known"),
        ({"topk": "1", "secret": "x"}, "secret is not known"),
        ({"topk": "1", "order_by_fields": "a:asc"}, "order_by_fields is refused"),
        ({"topk": "1", "group_by_fields": "a,b"}, "group_by_fields is refused"),
        ({"topk": "1", "json_path": "a"}, "json_path is refused"),
        ({"topk": "1", "analyzer_name": "a"}, "analyzer_name is refused"),
        ({"topk": "1", "time_fields": "year"}, "time_fields is refused"),
        ({"topk": "1", "group_by_field": "g", "group_size": "x"}, "failed to parse input group size"),
        ({"topk": "1", "group_by_field": "g", "group_size": "0"}, "is negative"),
        ({"topk": "1", "group_by_field": "g", "params": '{"radius": 1}'}, "range-search when doing search-group-by"),
        ({"topk": "1", "group_by_field": "g", "iterator": "True"}, "groupBy when doing iteration"),
        ({"topk": "1", "search_iter_v2": "True"}, "both iterator and search_iter_v2"),
        ({"topk": "1", "iterator": "True", "search_iter_v2": "True"}, "batch size is required"),
        ({"topk": "1", "iterator": "True", "search_iter_v2": "True", "search_iter_batch_size": "0"}, "range"),
        (
            {"topk": "1", "iterator": "True", "search_iter_v2": "True", "search_iter_batch_size": "2", "offset": "1"},
            "offset is not permitted",
        ),
    ],
)
def test_what_is_refused(given, words):
    with pytest.raises(InvalidArgument, match=words):
        read_search_parameters(pairs(**given))


def test_a_key_given_twice_is_refused():
    with pytest.raises(InvalidArgument, match="twice"):
        read_search_parameters([*pairs(topk="1"), *pairs(topk="2")])


def test_what_is_said_twice_alike_is_taken():
    read = read_search_parameters(pairs(topk="1", metric_type="L2", params='{"metric_type": "L2", "nprobe": 3}'))
    assert (read.metric, read.knobs) == ("L2", {"nprobe": 3})


def test_rank_parameters():
    read = read_rank_parameters(
        pairs(
            limit="3", offset="2", round_decimal="1", strategy="weighted", params='{"weights": [1]}', group_by_field="g"
        )
    )
    assert (read.limit, read.offset, read.round_decimal, read.strategy) == (3, 2, 1, "weighted")
    assert (read.options, read.grouping) == ({"weights": [1]}, Grouping("g"))
    assert read_rank_parameters(pairs(limit="3")).strategy == "rrf"
    assert read_rank_parameters(pairs(limit="1", group_by_field="g", rank_group_scorer="sum")).grouping == Grouping(
        "g", scorer="sum"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "limit not found"),
        ({"limit": "0"}, "limit .0. is invalid"),
        ({"limit": "1", "offset": "-1"}, "offset .-1. is invalid"),
        ({"limit": "16384", "offset": "1"}, "but got 16385"),
        ({"limit": "1", "secret": "x"}, "secret is not known"),
        ({"limit": "1", "order_by_fields": "x"}, "order_by_fields is refused"),
        ({"limit": "1", "group_by_field": "g", "rank_group_scorer": "median"}, "median is not supported"),
        ({"limit": "1", "round_decimal": "9"}, "round_decimal"),
    ],
)
def test_rank_parameters_that_are_refused(given, words):
    with pytest.raises(InvalidArgument, match=words):
        read_rank_parameters(pairs(**given))


def test_switches_and_numbers():
    assert [boolean(text) for text in ("1", "True", "0", "f")] == [True, True, False, False]
    assert number("1.5", "x") == number(1.5, "x") == 1.5
    for text in ("yes", ""):
        with pytest.raises(InvalidArgument):
            boolean(text)
    for value in (True, None, "inf", [1], "x"):
        with pytest.raises(InvalidArgument):
            number(value, "x")
