"""Tokens fields: MatchText and MatchTextAny select what a word index in clear selects, for any words and scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from grpc import RpcError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models
from serving import Server

from .conftest import Proxies
from .over_rest import rest_side
from .sides import Call, Pair, Side, side

POLICY = """
version: 1
collections:
  - match: "*"
    vectors: [{match: "*", transforms: [{kind: rotation}]}]
    payload: {default: sealed, fields: {text: tokens, rows.text: tokens, tag: searchable}}
"""
NAME = "worded"
WORDS = (
    *("red", "Red", "RED", "green", "blue-green", "a", "x2", "2x", "3.14", "don't", "snake_case", "e-mail@host.org"),
    *(
        "größe",
        "GRÖSSE",
        "ΣΟΦΟΣ",
        "σοφος",
        "İstanbul",
        "हिन्दी",
        "भाषा",
        "ภาษาไทย",
        "東京都",
        "naïve",
        "cafe\u0301",
        "①",
        "Ⅷ",
        "½",
    ),
)
GAPS = (" ", ", ", "\n", "--", "_", "\u00a0", "。")
texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=6).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)
values = st.one_of(texts, texts, st.lists(texts, max_size=3), st.integers(0, 3), st.none())
payloads = st.fixed_dictionaries(
    {}, optional={"text": values, "rows": st.lists(st.fixed_dictionaries({}, optional={"text": texts}), max_size=3)}
)
QUERIES = [*WORDS, "red green", "green RED blue", "nothing", "", "...", "größe 東京都", "a a a", "हिन्दी भाषा"]


def text_match(key: str, words: str) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, match=models.MatchText(text=words))])


def any_match(key: str, words: str) -> models.Filter:
    return models.Filter(must_not=[models.FieldCondition(key=key, match=models.MatchTextAny(text_any=words))])


def selecting(condition: models.Filter) -> Call:
    def selected(on: Side) -> object:
        page, _ = on.client.scroll(on.name(NAME), scroll_filter=condition, limit=1_000, with_payload=False)
        return [record.id for record in page], on.client.count(on.name(NAME), count_filter=condition).count

    return selected


@pytest.fixture(scope="module")
def pair(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    points: list[models.PointStruct] = []

    @settings(max_examples=150, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads)
    def fill(payload: dict[str, Any]) -> None:
        points.append(models.PointStruct(id=len(points), vector={"d": [1.0, 2.0]}, payload=payload))

    fill()
    points += [models.PointStruct(id=1_000 + i, vector={}, payload={"text": word}) for i, word in enumerate(WORDS)]
    with side(engine) as direct, side(proxy(POLICY), "exact-") as proxied:
        index = models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD)
        for on in (direct, proxied):
            config = {"d": models.VectorParams(size=2, distance=models.Distance.DOT)}
            on.client.create_collection(on.name(NAME), vectors_config=config)
            on.client.create_payload_index(on.name(NAME), "text", index, wait=True)
            on.client.create_payload_index(on.name(NAME), "rows[].text", models.PayloadSchemaType.TEXT, wait=True)
            on.client.upsert(on.name(NAME), points, wait=True)
        both = Pair(direct, proxied)
        both.same(lambda on: on.client.scroll(on.name(NAME), limit=1_000)[0])
        yield both
        direct.client.delete_collection(NAME)


@pytest.mark.slow
@pytest.mark.parametrize("match", [text_match, any_match])
def test_queries_select_the_same_points(pair: Pair, match: Any) -> None:
    for words in QUERIES:
        for key in ("text", "rows[].text"):
            pair.same(selecting(match(key, words)))
    assert pair.proxied.client.count(pair.proxied.name(NAME), count_filter=text_match("text", "red")).count > 3


def test_an_index_is_shown_as_it_was_declared(pair: Pair) -> None:
    def shown(on: Side) -> object:
        schema = on.client.get_collection(on.name(NAME)).payload_schema
        return {path: (info.data_type, info.params) for path, info in schema.items()}

    pair.same(shown)


def test_over_rest(pair: Pair, proxy: Proxies) -> None:
    with rest_side(proxy(POLICY), "exact-") as over_rest:
        for words in ("red green", "größe", "ΣΟΦΟΣ"):
            assert selecting(text_match("text", words))(over_rest) == selecting(text_match("text", words))(pair.direct)


def test_writes_change_what_is_found(pair: Pair) -> None:
    def write(on: Side) -> object:
        on.client.set_payload(on.name(NAME), {"text": "zebra crossing"}, [1, 2], wait=True)
        on.client.overwrite_payload(on.name(NAME), {"text": "a zebra"}, [3], wait=True)
        return on.client.delete_payload(on.name(NAME), ["text"], [2], wait=True).status

    pair.same(write)
    for words in ("zebra", "zebra crossing", "red"):
        pair.same(selecting(text_match("text", words)))


@pytest.mark.parametrize(
    "match",
    [
        models.MatchPhrase(phrase="red green"),
        models.MatchValue(value="red"),
        models.MatchAny(any=["red"]),
        models.MatchExcept(**{"except": ["red"]}),
    ],
)
def test_what_words_cannot_answer_is_refused(pair: Pair, match: Any) -> None:
    asked = models.Filter(must=[models.FieldCondition(key="text", match=match)])
    with pytest.raises(RpcError, match="field `text`: its mode is tokens"):
        pair.proxied.client.count(pair.proxied.name(NAME), count_filter=asked)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tokenizer": models.TokenizerType.PREFIX}, "tokenizer"),
        ({"lowercase": False}, "lowercase"),
        ({"min_token_len": 2}, "min_token_len"),
        ({"phrase_matching": True}, "phrase_matching"),
        ({"stopwords": models.Language.ENGLISH}, "stopwords"),
    ],
)
def test_options_that_mean_other_words_are_refused(pair: Pair, options: dict[str, Any], named: str) -> None:
    index = models.TextIndexParams(type=models.TextIndexType.TEXT, **options)
    with pytest.raises(RpcError, match=f"`text` cannot have {named}: its mode is tokens"):
        pair.proxied.client.create_payload_index(pair.proxied.name(NAME), "text", index)
