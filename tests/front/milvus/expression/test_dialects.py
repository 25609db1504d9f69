"""What Milvus 2.3.5 and Milvus Lite accept, we accept, and what we write for it means the same to them.

The documented language of the real server is the measure; the few things that only one of the two reads, and that are
not documented, are listed as refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from milvus.servers import lite_server, real_server
from pymilvus.exceptions import MilvusException

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression import rewrite

from .rows import COLUMNS
from .tables import FIELDS, Tables, tables

pytestmark = pytest.mark.slow

READ_BY = {
    "real and lite": [
        *('t_plain like "r_d"', "JSON_CONTAINS(l_plain, 'red')", "ARRAY_LENGTH(an_plain) == 2", 'k_plain["0"] == 2'),
        *(
            "n_plain == 2",
            "n_plain != 2",
            "2 < n_plain",
            "n_plain in [2,]",
            "n_plain in []",
            "n_plain not in []",
            "n_plain == 1 + 1",
        ),
        *(
            "n_plain + 1 == 3",
            "i_plain / 2 == 1",
            "n_plain == -3",
            "n_plain == 9223372036854775807",
        ),
        *(
            "d_plain == 2",
            "d_plain > 1.5e0",
            "t_plain == 'it\\'s'",
            't_plain == "x\\"y\\\\"',
            't_plain == "a\\tb"',
            't_plain like "r%"',
        ),
        *(
            "b_plain == true",
            "b_plain == True",
            "b_plain != FALSE",
            "not (n_plain == 2)",
            "!(n_plain == 2)",
            "n_plain == 2 && d_plain == 2",
        ),
        *(
            "n_plain == 2 || d_plain == 2",
            "n_plain == 2 or n_plain == 5 and d_plain == 2",
            "((n_plain)) == ((2))",
            "i_plain < n_plain",
        ),
        *(
            'j_plain["a"] == 2',
            "j_plain['a'] == 2",
            'j_plain["a"]["b"] == 2',
            'j_plain["a"][0] == 2',
            "k_plain == 2",
            '$meta["k_plain"] == 2',
        ),
        *(
            'exists j_plain["a"]',
            "exists k_plain",
            "an_plain[0] == 2",
            "array_contains(an_plain, 2)",
            "json_contains(l_plain, 'red')",
        ),
        *(
            "array_contains_any(an_plain, [2, 5])",
            "array_contains_all(at_plain, ['red'])",
            "array_length(an_plain) == 2",
        ),
        *(
            "n_plain\n==\t2",
            "id in [0, 1]",
            "n_plain > 0 and (n_plain < 5 or t_plain == '')",
            "k_plain not in ['red']",
        ),
    ],
    "real": [
        *(
            "n_plain == 0x2",
            "n_plain == 0b10",
            "1 < n_plain <= 5",
            "5 > n_plain >= 2",
            "n_plain % 2 == 0",
            "d_plain == 2 ** 1",
        ),
        *(
            'j_plain["a"] in [2]',
            'j_plain["a"] not in ["red"]',
            "an_plain[0] in [2]",
            "an_plain == [2, 5]",
            'array_length(j_plain["a"]) == 2',
        ),
        *(
            't_plain == "\\x72ed"',
            't_plain == "\\162ed"',
            't_plain == "\\u0072ed"',
            'json_contains(j_plain["a"], [2])',
            "d_plain == 2.",
        ),
        *(
            "d_plain == .5",
            "n_plain == +2",
            "n_plain == 5 % 3",
        ),
    ],
    "lite": [
        "n_plain * 2 - 1 > 3",
        *(
            "n_plain is null",
            "n_plain IS NOT NULL",
            "b_plain",
            "not b_plain",
            "not n_plain == 2",
            'NOT t_plain == "red"',
            "true",
            "1 == 1",
        ),
        "n_plain == 2 AND d_plain == 2",
        *(
            't_plain like "%e%"',
            "text_match(t_plain, 'red')",
            "TEXT_MATCH(t_plain, 'red')",
            "exists k_plain and n_plain == 2",
        ),
        *("json_contains_all(l_plain, [])", "n_plain in [-9223372036854775808]", "n_plain == 2 OR n_plain NOT IN [5]"),
    ],
}
REFUSED = {
    "real": ['t_plain == u8"red"', "d_plain == 2 ** 1 ** 2", 't_plain == L"red"'],
    "lite": [
        "n_plain In [2]",
        "n_plain Is Null",
        "an_plain [0] == 2",
        "n_plain == 2 And d_plain == 2",
        '$meta ["k_plain"] == 2',
    ],
}


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    """Milvus Lite."""
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield from tables(server, "words", nullable=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    """The real Milvus 2.3.5."""
    with real_server(tmp_path_factory.mktemp("milvus")) as server:
        yield from tables(server, "server", nullable=False)


def accepts(table: Tables, text: str) -> list[int] | None:
    """What the expression selects; None where the server refuses it."""
    try:
        return table.ids("clear", text)
    except MilvusException:
        return None


@pytest.mark.parametrize(("readers", "text"), [(readers, text) for readers, texts in READ_BY.items() for text in texts])
def test_what_a_server_reads_is_written_with_the_same_meaning(
    readers: str, text: str, real: Tables, lite: Tables
) -> None:
    stored = rewrite(text, COLUMNS, FIELDS).text
    for name, table in (("real", real), ("lite", lite)):
        expected = accepts(table, text)
        assert (expected is not None) == (name in readers), (name, text)
        if expected is not None:
            assert accepts(table, stored) == expected


@pytest.mark.parametrize(("reader", "text"), [(reader, text) for reader, texts in REFUSED.items() for text in texts])
def test_what_is_not_documented_is_refused_though_a_server_reads_it(
    reader: str, text: str, real: Tables, lite: Tables
) -> None:
    assert accepts(real if reader == "real" else lite, text) is not None
    with pytest.raises(InvalidArgument, match="cannot parse expression"):
        rewrite(text, COLUMNS, FIELDS)
