"""Servers that the whole test session shares."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import Proxy, Server, bare_engine, serving_proxy

# `benchmarks` is a package beside `vecguard`, found from the repository's root.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.append(ROOT)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded engine alone, on a TCP port."""
    with bare_engine(tmp_path_factory.mktemp("bare")) as server:
        yield server


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str | None], Proxy]]:
    """Gives the proxy with a policy (YAML text; None: the default policy) before an engine of its own.

    One policy text has one proxy for the whole session, so use collection names of your own.
    """
    running: dict[str | None, Proxy] = {}
    with contextlib.ExitStack() as stack:

        def start(policy: str | None = None) -> Proxy:
            if policy not in running:
                running[policy] = stack.enter_context(
                    serving_proxy(tmp_path_factory.mktemp("proxy"), policy, rest=True)
                )
            return running[policy]

        yield start
