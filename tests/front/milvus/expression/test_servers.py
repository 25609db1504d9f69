"""The same through servers: Milvus Lite, and the real Milvus 2.3.5, each with a table in clear and one at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from milvus.servers import lite_server, real_server

from vecguard.front.milvus.expression import not_in, pk_in, rewrite
from vecguard.front.milvus.proto import s

from .older import older_expressions
from .rows import COLUMNS, protected
from .strategies import expressions, rows
from .tables import FIELDS, Tables, tables

pytestmark = pytest.mark.slow
SETTINGS = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    """Milvus Lite; leaves of one type, as its two evaluators differ on mixed ones."""
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield from tables(server, "words", nullable=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    """The real Milvus 2.3.5, which has no nullable fields."""
    with real_server(tmp_path_factory.mktemp("milvus")) as server:
        yield from tables(server, "server", nullable=False)


@SETTINGS
@given(text=expressions("words"))
def test_lite_selects_the_same_rows(lite: Tables, text: str) -> None:
    lite.check(text)


@SETTINGS
@given(text=older_expressions())
def test_milvus_selects_the_same_rows(real: Tables, text: str) -> None:
    real.check(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            't_searchable == "red"',
            't_searchable != "red"',
            "f_searchable == 0.1",
            "d_searchable in [0.0]",
            "n_searchable == 0x2",
        ),
        *(
            'j_searchable["word"] == 1',
            'j_searchable["word"] == 1.0',
            'j_searchable["word"] != true',
            'j_searchable["a"][0] == "5"',
        ),
        *(
            'k_searchable in ["red", "5"]',
            "array_contains_any(an_searchable, [2, 5])",
            'not (t_searchable == "red")',
            "1 < n_plain <= 5",
        ),
        *(
            'j_searchable["0"] == "red"',
            "j_searchable[0] == 2.5",
            "array_length(at_sealed) == 2",
            'exists j_sealed["a"]',
        ),
    ],
)
def test_milvus_selects_some_rows_and_not_all(real: Tables, text: str) -> None:
    assert 0 < len(real.check(text)) < 60


def test_milvus_reads_what_is_written_for_all_texts(real: Tables) -> None:
    """The escapes that `render` writes are those of the server: the row is found in clear and at rest."""
    for word in (
        'say "x"',
        "it's",
        "back\\slash\\n",
        "tab\there",
        "new\nline",
        "re\rturn",
        "é中😀𠀀",
        "\\u0041",
        "a'b\"c\\'",
    ):
        key = rewrite("id == 1000 and t_plain == {x}", COLUMNS, FIELDS, templates_of(word), inline=True).text
        some = [
            {**row, "id": 1000, "t_plain": word, "t_searchable": word} for row in rows(3, "server", 1, nullable=False)
        ]
        for name, kept in (("clear", some), ("stored", [protected(row, FIELDS) for row in some])):
            flat = [{"vec": [0.0, 1.0], **{k: v for k, v in row.items() if k != "$meta"}} for row in kept]
            real.client.upsert(name, flat)
            real.client.query(name, filter="id == 1000", consistency_level="Strong")
            assert real.ids(name, key) == [1000], word
            assert real.ids(name, key.replace("t_plain ==", "t_plain !=")) == []
        assert real.check(key.replace("t_plain", "t_searchable")) == [1000]
    for name in ("clear", "stored"):
        real.client.delete(name, filter="id in [1000]")
        real.client.query(name, filter="id == 0", consistency_level="Strong")


def templates_of(word: str) -> dict[str, Any]:
    """One template value."""
    return {"x": s.TemplateValue(string_val=word)}


@pytest.mark.parametrize("name", ["lite", "real"])
def test_built_expressions_are_read_by_both(name: str, request: pytest.FixtureRequest) -> None:
    found: Tables = request.getfixturevalue(name)
    least = -(2**63)
    assert found.ids("clear", pk_in("id", [3, 5, least])) == [3, 5]
    assert found.ids("clear", pk_in("id", [])) == []
    assert found.ids("clear", not_in("id", [*range(2, 60), least])) == [0, 1]
