"""The language: what is in it, how it binds, and that everything else is refused in Milvus' words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import render
from vecguard.front.milvus.expression.tree import Literal, Ref, walk


def same(text, other):
    assert parse(text) == parse(other)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a==1", "a == 1"),
        ("a != 'x'", 'a != "x"'),
        ("a<1 or a>=2 OR b <=3 || c>4", "a < 1 or a >= 2 or b <= 3 or c > 4"),
        ("a == 1 AND b == 2 && c == 3 and d == 4", "a == 1 and b == 2 and c == 3 and d == 4"),
        ("NOT a == 1", "not (a == 1)"),
        ("!(a == 1)", "not (a == 1)"),
        ("not not a", "not (not (a))"),
        ("a in [1, 2,3,]", "a in [1, 2, 3]"),
        ("a NOT IN ['x']", 'a not in ["x"]'),
        ("a in []", "a in []"),
        ("a in [ ]", "a in []"),
        ("a in [true, False]", "a in [true, False]"),
        ("a in [-1, +2, -1.5e3]", "a in [-1, +2, -1.5e3]"),
        ("a in {ids}", "a in {ids}"),
        ("a in { ids }", "a in {ids}"),
        ("a in [{x}, 1, [2]]", "a in [{x}, 1, [2]]"),
        ("a LIKE 'x%'", 'a like "x%"'),
        (r'a =~ r"\d+"', r'a =~ "\\d+"'),
        ("a !~ 'x'", 'a !~ "x"'),
        ("a is null or b IS NOT NULL", "a is null or b is not null"),
        ("a  is   not  null", "a is not null"),
        ('exists j["a"] and EXISTS k', '(exists j["a"]) and (exists k)'),
        ("1 < a <= 5", "1 < a <= 5"),
        ("5 >= a > -1", "5 >= a > -1"),
        ("a + 1 - 2 == 3", "(a + 1 - 2) == 3"),
        ("a + 2 * 3 == 3", "(a + (2 * 3)) == 3"),
        ("(a + 2) * 3 % 2 == 1", "((a + 2) * 3 % 2) == 1"),
        ("a ** 2 > 4", "(a ** 2) > 4"),
        ("-a ** 2 < 4", "(-(a ** 2)) < 4"),
        ("2 ** -1 == a", "(2 ** -1) == a"),
        ("a - -1 == 2", "(a - -1) == 2"),
        ("a & 4 == 4", "(a & 4) == 4"),
        ("a | 1 == 3 and (b ^ 2) > 1", "(a | 1) == 3 and (b ^ 2) > 1"),
        ('meta["a"]["b"][0] == 1', 'meta["a"]["b"][0] == 1'),
        ("meta['a'] == 1", 'meta["a"] == 1'),
        ("arr[0] == 1", "arr[0] == 1"),
        ('$meta["k"] == 1', '$meta["k"] == 1'),
        ("JSON_CONTAINS(a, 1)", "json_contains(a, 1)"),
        ('json_contains_all(j["x"], [1, "a"])', 'json_contains_all(j["x"], [1, "a"])'),
        ("ARRAY_CONTAINS_ANY(a, {x})", "array_contains_any(a, {x})"),
        ("array_length(a) >= 2", "array_length(a) >= 2"),
        ('TEXT_MATCH(t, "q")', 'text_match(t, "q")'),
        ('text_match(t, "q", minimum_should_match=2)', 'text_match(t, "q", minimum_should_match=2)'),
        ("phrase_match(t, 'q w', 2)", 'phrase_match(t, "q w", 2)'),
        ("a > 1 and random_sample(0.1)", "a > 1 and random_sample(0.1)"),
        ("ST_WITHIN(g, 'POINT (0 0)')", 'st_within(g, "POINT (0 0)")'),
        ("t + INTERVAL 'P1D' > ISO '2025-01-01'", 't + INTERVAL "P1D" > ISO "2025-01-01"'),
        ("iso '2025' <= t", 'ISO "2025" <= t'),
        (
            "a == 0x10 or a == 017 or a == 0b11 or a == 1. or a == .5",
            "a == 0x10 or a == 017 or a == 0b11 or a == 1. or a == .5",
        ),
        ("{x} == a", "{x} == a"),
        ("a == TRUE", "a == TRUE"),
        ("is == 1 and iso == 2 and null == 3", "is == 1 and iso == 2 and null == 3"),
        (
            "order == 1 and android == 2 and inside in [1] and nothing",
            "order == 1 and android == 2 and inside in [1] and nothing",
        ),
        ("a\n==\t1", "a == 1"),
        ('t == "a and b == 1"', 't == "a and b == 1"'),
        (r't == "x\" or \"y"', r't == "x\" or \"y"'),
        ("'中文' == t", '"中文" == t'),
    ],
)
def test_documented_forms(text, canonical):
    assert render(parse(text)) == canonical
    same(canonical, text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a == 1 or b == 2 and c == 3", "a == 1 or (b == 2 and c == 3)"),
        ("not a == 1 and b == 2", "(not (a == 1)) and (b == 2)"),
        ("not a in [1] or b", "(not (a in [1])) or b"),
        ("not a is null", "not (a is null)"),
        ("not a like 'x'", "not (a like 'x')"),
        ("not exists a and b", "(not (exists a)) and b"),
        ("a + 1 > b * 2", "(a + 1) > (b * 2)"),
        ("a % 2 == 0", "(a % 2) == 0"),
        ("a + 1 & 3 == 0", "((a + 1) & 3) == 0"),
        ("(a == 1 and b == 2) and c == 3", "a == 1 and (b == 2 and c == 3)"),
        ("((((a)))) == ((1))", "a == 1"),
    ],
)
def test_precedence(text, other):
    same(text, other)


@pytest.mark.parametrize(
    "text",
    [
        *("a = 1", "a == ", "== 1", "a 1", "a == 1 b == 2", "a == 1 and", "and a == 1", "(a == 1", "a == 1)", "a <> 1"),
        *(
            "a == 1 == 1",
            "1 < a > 2",
            "1 < a < 2 < 3",
            "a == 1 != 2",
            "1 < a == 2",
            "a in (1, 2)",
            "a in 1",
            "a not [1]",
        ),
        *(
            "a in [1",
            "a in [1,,2]",
            "a in [,]",
            "a[",
            "a[]",
            "a[-1] == 1",
            "a[b] == 1",
            "a[0][b] == 1",
            "a[01] == 1",
            "a [0] == 1",
        ),
        *(
            "a.b == 1",
            "a == 1;",
            "a == 1 # x",
            "a == 1 /* x */",
            "a == '",
            "a == 'x",
            'a == "x\n"',
            "a == `x`",
        ),
        *(
            "$meta == 1",
            "$other == 1",
            "$meta",
            "$[a] == 1",
            "$ == 1",
            "a == $",
            "a == @x",
            "{x",
            "a == {}",
            "a == {1}",
            "a == {x y}",
        ),
        *(
            "a like",
            "like == 1",
            "not",
            "in == 1",
            "exists 1",
            "exists (a == 1)",
            "1 is null",
            "(a + 1) is null",
            "a is",
            "a is not",
        ),
        *(
            "a == 08",
            "a == 1_000",
            "a == 0x",
            "a == 1.2.3",
            "a == 1e",
            "a == 1f",
            "a == 9223372036854775809",
            "a == 1e999",
        ),
        *(
            "a == u8'x'",
            "a == L'x'",
            "a ~ 1",
            "~a == 1",
            "a << 1 == 2",
            "a >> 1 == 2",
            "a ** 2 ** 3 == 1",
            "a | 1 & 2 == 3",
        ),
        *(
            "a and and b",
            "a or",
            "f(",
            "f(a",
            "f(a=1)",
            "f(x=1, a)",
            "And a",
            "a And b",
            "a == tRue x",
            "a iS null",
            "not_a_function(a) b",
        ),
        *(
            "a == \x00",
            "a == 'x' 'y'",
            "a == ‘x’",
            "а == 1",
            "a =",
            "a !",
            "a ! b",
            "()",
            "[1] in [1]]",
            "a == 1\\",
            "element_filter == 1",
        ),
        *(
            "match_any(a, $[b] == 1) ",
            'a["b" == 1',
            'a["b"]["c == 1',
            "a['b\"] == 1",
            'a[""] == 1',
            'a["][" ] == 1',
            r'a["\q"] == 1',
        ),
    ],
)
def test_everything_else_is_refused_in_milvus_words(text):
    with pytest.raises(InvalidArgument) as refusal:
        parse(text)
    assert str(refusal.value).startswith(f"failed to create query plan: cannot parse expression: {text}, error: ")


def test_a_long_expression_is_repeated_in_part_only():
    with pytest.raises(InvalidArgument) as refusal:
        parse("a == '" + "x" * 100_000)
    assert len(str(refusal.value)) < 2000


@given(st.text("aj01 ()[]{}'\"\\$<>=!&|+-*/%.,\n", max_size=25) | st.text(max_size=25))
def test_any_text_is_parsed_or_refused(text):
    try:
        tree = parse(text)
    except InvalidArgument:
        return
    assert parse(render(tree)) == tree


def test_depth_is_bounded_but_not_by_parentheses():
    same("(" * 3000 + "a == 1" + ")" * 3000, "a == 1")
    folded = "a == 0"
    for number in range(500):
        folded = f"({folded}) and (a == {number})"
    assert max(depth for depth, _ in walk(parse(folded))) <= 4
    for deep in (
        "not " * 2000 + "a",
        "-" * 2000 + "a == 1",
        "a in " + "[" * 2000 + "{x}" + "]" * 2000,
        "f(" * 2000 + "a" + ")" * 2000,
    ):
        with pytest.raises(InvalidArgument, match="nested deeper"):
            parse(deep)


def test_size_is_bounded():
    parse(" or ".join(["a == 1"] * 2000))
    with pytest.raises(InvalidArgument, match="more than 10000 tokens"):
        parse(" or ".join(["a == 1"] * 5000))
    with pytest.raises(InvalidArgument, match="longer than"):
        parse("a" * (4 * 2**20 + 1))
    with pytest.raises(InvalidArgument, match="more than 250000 constants"):
        parse(f"a in [{'1,' * 250_001}]")


def test_long_lists_of_constants_are_one_token():
    tree = parse(f"id in {list(range(30_000))}")
    assert [item.value for item in tree.values.items] == list(range(30_000))
    words = parse("t not in [" + ", ".join([r"'a\'b, c]'"] * 20_000) + "]")
    assert set(words.values.items) == {Literal("a'b, c]")}


@pytest.mark.parametrize(
    "text",
    [
        "a in [" + "1," * 50_000 + "x",
        "a in [" + "1.5e3 ," * 20_000,
        "a == '" + "\\x" * 50_000,
        "[" * 9000,
        "a " * 9000,
        "(" * 9000,
    ],
)
def test_refusing_takes_no_longer_than_reading(text):
    started = time.process_time()
    with pytest.raises(InvalidArgument):
        parse(text)
    assert time.process_time() - started < 5


def test_keys_of_paths_are_read():
    assert parse(r"""j["q\"x"]['a"b']["é\u4e2d"][12] == 1""").left == Ref("j", ('q"x', 'a"b', "é中", 12))
