"""Every file in examples/ runs as its docstring says, against VecGuard with the examples' policy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer
from proxy.byte_search import every_byte
from serving import Proxy

from frameworks.environment import ROOT, run

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
POLICY = EXAMPLES / "policy.yaml"
# File, environment, how its address is given, and lines that it has to print, in this order.
FOUND = r"  0\.25\d\d Olivia Campbell told the gynecology nurse in confidence that she fears losing the job"
RUNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "qdrant_basic.py": ("frameworks", "{grpc}", (r"0\.99\d+ .*Jane Roe", r"0\.\d+ .*Max Roe")),
    "rag_langchain.py": (
        "frameworks",
        "{url}",
        (
            "hybrid search",
            r"  \d\.\d{4} Olivia Campbell",
            "only infectious diseases",
            r"  202[2-5] ",
            "MMR",
            "  Olivia",
        ),
    ),
    "rag_llama_index.py": (
        "frameworks",
        "{url}",
        ("search", FOUND, "only infectious diseases", r"  0\.03\d\d Andre Reyes", "deleted note-47: 59 notes are left"),
    ),
    "rag_haystack.py": (
        "frameworks",
        "{url}",
        (
            "search",
            FOUND,
            "only infectious diseases, 2 notes",
            r"  0\.03\d\d Andre Reyes",
            "12 departments.*cardiology",
        ),
    ),
    "rag_langchain_milvus.py": (
        "frameworks",
        "{milvus}",
        ("search", FOUND, "only infectious diseases, since 2022", r"  202[2-5] ", "MMR", "  Olivia"),
    ),
    "rag_llama_index_milvus.py": (
        "pymilvus2",
        "{milvus}",
        ("search", FOUND, "only infectious diseases", r"  0\.03\d\d Andre Reyes", "deleted note-47: 59 notes are left"),
    ),
    "memory_mem0.py": (
        "frameworks",
        "{address}",
        (
            "ann, which medicine",
            "I am allergic to penicillin",
            "Clara",
            "ann, which medicine",
            "penicillin and to latex",
            "after forgetting: 2 memories",
        ),
    ),
    "rag_chat.py": (
        "frameworks",
        "--url {url} --ask Who_is_afraid_of_losing_the_job?",
        ("200 passages", "> Who is afraid", "fears losing the job", r"  \[1\] 0\.25\d note 47, gynecology: Olivia"),
    ),
}


@pytest.fixture
def guarded(proxy: Callable[[str | None], Proxy]) -> Proxy:
    return proxy(POLICY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def guarded_milvus(bare_milvus: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    policy = POLICY.read_text(encoding="utf-8")
    with serving_milvus(tmp_path_factory.mktemp("examples-milvus"), bare_milvus, policy) as server:
        yield server


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == RUNS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_the_example_finds_what_it_should(
    guarded: Proxy, guarded_milvus: MilvusProxy, tmp_path: Path, name: str
) -> None:
    environment, arguments, lines = RUNS[name]
    ports = {"grpc": guarded.port, "url": guarded.url, "address": f"127.0.0.1:{guarded.rest_port}"}
    ports["milvus"] = guarded_milvus.uri
    given = [part.replace("_", " ") if "?" in part else part for part in arguments.format(**ports).split()]
    # No settings from here: an example keeps its framework from calling home by itself.
    printed = run(EXAMPLES / name, given, tmp_path, environment, settings={"OPENBLAS_NUM_THREADS": "1"})
    rest = printed.splitlines()
    for line in lines:
        at = next((number for number, text in enumerate(rest) if re.match(rf"\W*.*{line}", text)), None)
        assert at is not None, f"{line!r} is missing after what came before in:\n{printed}"
        rest = rest[at + 1 :]


@pytest.mark.parametrize("name", RUNS)
def test_the_docstring_tells_how_to_run_it(name: str) -> None:
    said = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))) or ""
    assert f"python examples/{name}" in said
    assert "vecguard serve" in said


def test_the_readme_shows_every_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in RUNS if f"(examples/{name})" not in readme] == []


def test_the_policy_of_the_examples_has_no_errors_and_no_warnings() -> None:
    command = [sys.executable, "-m", "vecguard", "policy", "check", str(POLICY)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout
    assert "warning" not in (checked.stdout + checked.stderr).lower()


def test_a_chat_about_ones_own_texts(guarded: Proxy, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    (texts / "deep").mkdir(parents=True)
    (texts / "harbour.txt").write_text("The lighthouse keeper counted eleven ships. It rained.\n\nThe mole is closed.")
    (texts / "deep" / "garden.md").write_text("# Garden\n\nMedlars are picked after the first frost. Quinces are not.")
    (texts / "other.csv").write_text("medlars,42\n")
    arguments = ["--url", guarded.url, "--texts", str(texts)]
    printed = run(EXAMPLES / "rag_chat.py", arguments, tmp_path / "home", typed="When are medlars ripe?\nShips?\n\n")
    assert printed.startswith("2 passages are stored.")
    first, second = printed.split("? > ")[1:]
    assert first.splitlines()[1] == "Medlars are picked after the first frost."
    assert re.search(r"^  \[1\] 0\.\d+ deep/garden.md, passage 1: # Garden Medlars", first, re.MULTILINE)
    assert second.splitlines()[1] == "The lighthouse keeper counted eleven ships."
    kept = every_byte(guarded.data)
    assert b"chat-passages" in kept
    assert b"lighthouse keeper" not in kept
    assert b"garden.md" not in kept


def test_a_chat_without_texts_says_so(guarded: Proxy, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(pytest.fail.Exception, match=r"holds no \.txt or \.md files"):
        run(EXAMPLES / "rag_chat.py", ["--url", guarded.url, "--texts", str(tmp_path / "empty")], tmp_path / "home")
