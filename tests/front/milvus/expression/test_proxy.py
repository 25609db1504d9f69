"""The same through the running proxy: rows that it wrote, expressions that clients send it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from milvus.servers import lite_server, real_server

from .older import older_expressions
from .strategies import expressions
from .tables import GuardedTables, guarded_tables

pytestmark = pytest.mark.slow
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedTables]:
    """The proxy before Milvus Lite."""
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield from guarded_tables(server, tmp_path_factory.mktemp("lite-proxy"), "words", nullable=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedTables]:
    """The proxy before the real Milvus 2.3.5."""
    with real_server(tmp_path_factory.mktemp("milvus")) as server:
        yield from guarded_tables(server, tmp_path_factory.mktemp("milvus-proxy"), "server", nullable=False)


@SETTINGS
@given(text=expressions("words"))
def test_lite_selects_the_same_rows(lite: GuardedTables, text: str) -> None:
    lite.check(text)


@SETTINGS
@given(text=older_expressions())
def test_milvus_selects_the_same_rows(real: GuardedTables, text: str) -> None:
    real.check(text)


@pytest.mark.parametrize("text", ['t_searchable == "red"', 'j_searchable["word"] == "5"', "k_searchable != 2"])
@pytest.mark.parametrize("name", ["lite", "real"])
def test_the_expressions_tell_rows_apart(name: str, text: str, request: pytest.FixtureRequest) -> None:
    found: GuardedTables = request.getfixturevalue(name)
    assert 0 < len(found.check(text)) < 60
