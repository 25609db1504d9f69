"""Reads, queries and writes answer the same through the proxy as straight from the engine where older records are told.

`rollback: detect` reads more than it was asked for, and writes in more steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from serving import Server, serving_proxy

from . import library
from .conftest import populate
from .query_operations import queries
from .read_operations import reads
from .sides import Call, Pair, cases, differences, outcome, side
from .test_differential_writes import dump, make
from .write_operations import STAGES, unnamed

INTO_LISTS = {"delete-deep", *(f"key-{which}-{mode}" for which in ("index", "every") for mode in ("", "s_", "secret."))}
pytestmark = pytest.mark.slow

POLICY = library.POLICY
for _name in ("exact", "hidden"):
    POLICY = POLICY.replace(f'match: "{_name}-*"', f'match: "{_name}-*"\n    integrity: {{rollback: detect}}')


@pytest.fixture(scope="module")
def pair(
    engine: Server, pairs: Callable[[str, str], Pair], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Pair]]:
    """As `pairs`, for cosine."""
    folder, found = tmp_path_factory.mktemp("newest"), dict[str, Pair]()
    settings = folder / "settings.yaml"
    settings.write_text(f"rollback_memory: {folder / 'newest.db'}\n")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving_proxy(folder, POLICY, arguments=("--config", str(settings))))

        def on(protection: str) -> Pair:
            if protection not in found:
                proxied = stack.enter_context(side(server, f"{protection}-"))
                populate(proxied, "cosine")
                found[protection] = Pair(pairs("exact", "cosine").direct, proxied)
            return found[protection]

        yield on


@cases(reads("cosine"))
def test_reads(call: Call, pair: Callable[[str], Pair]) -> None:
    assert "answer" in pair("exact").same(call)


@cases(queries("cosine"))
def test_queries(call: Call, pair: Callable[[str], Pair]) -> None:
    assert "answer" in pair("exact").same(call)


@pytest.mark.parametrize("protection", ["exact", "hidden"])
def test_writes(protection: str, pair: Callable[[str], Pair]) -> None:
    """Alike but for two things: a write is waited for that need not be, and one into a list is refused."""
    on, unlike = pair(protection), set[str]()
    make(on, "newest", library.named_config("cosine"))
    for stage in STAGES:
        unlike |= compared(on, stage("newest"))
    make(on, "newest", library.unnamed_config("cosine"))
    unlike |= compared(on, unnamed("newest"))
    assert unlike == {"not-waited-for"} | INTO_LISTS


def compared(on: Pair, steps: Iterator[tuple[str, Call]]) -> set[str]:
    """Run these writes on both sides; the names of those that are not answered alike."""
    unlike = set[str]()
    for step, call in steps:
        got = outcome(on.proxied, call)
        if "leads into a list" in str(got):
            unlike.add(step)
            continue
        found = list(differences(outcome(on.direct, call), got))
        if found and all(one.endswith("status: 'acknowledged' != 'completed'") for one in found):
            unlike.add(step)
        else:
            assert found == [], step
        on.same(dump("newest"))
    return unlike
