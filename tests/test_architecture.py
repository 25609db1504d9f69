"""The layout of DESIGN.md §4, held against the code: arrows between layers, names, sizes, and no torch in serve."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models
from serving import serving_proxy

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vecguard"

# What each layer may import of the others, from the ground up: a layer names only layers above it in this table.
# `process` and `worker` are the processes of `serve`; fronts and embedded databases are reached by name, through the
# registry only.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "registry": {"errors"},
    "generation": set(),
    "gate": set(),
    "deferred": set(),
    "trail": set(),
    "stages": set(),
    "load": {"errors"},
    "v1": set(),
    "blocks": {"errors"},
    "request_id": set(),
    "metric": {"errors"},
    "keys": {"errors"},
    "loopback": set(),
    "keepalive": set(),
    "stamp": set(),
    "alerting": {"errors", "loopback"},
    "telling": {"alerting"},
    "state": {"errors", "keys", "loopback"},
    "fresh": {"errors", "keys", "state"},
    "transform": {"errors", "keys", "registry", "metric"},
    "seal": {"errors", "keys", "transform", "metric"},
    "policy": {"errors", "model", "registry", "transform"},
    "rerank": {"errors", "metric"},
    "ranking": {"errors", "metric", "rerank"},
    "fields": {"errors", "policy", "ranking", "seal"},
    "tombstone": {"errors", "keys", "seal"},
    "manifest": {"errors", "keys", "metric", "policy", "seal", "tombstone"},
    "tenancy": {"errors", "fields", "keys", "manifest", "policy", "seal"},
    "dense_shield": {"errors", "manifest", "metric", "policy", "rerank", "seal", "transform"},
    "shield": {"dense_shield", "errors", "fields", "keys", "manifest", "policy", "seal", "tenancy", "transform"},
    "fit": {"errors", "manifest", "policy"},
    "entry": {"keys", "policy", "shield"},
    "catalog": {
        *("entry", "errors", "fit", "fresh", "generation", "keys", "manifest", "model", "policy", "seal", "shield"),
    },
    "upstream": {"errors", "model", "stages", "stamp"},
    "access": {"errors", "model", "policy", "state"},
    "detect": {
        *("access", "catalog", "errors", "keys", "model", "policy", "registry", "stages", "state", "transform"),
    },
    "hidden": {"entry", "errors"},
    "ways": {"model", "upstream"},
    "session": {"catalog", "errors", "hidden", "model", "policy", "shield", "tenancy", "upstream", "ways"},
    "new_tenants": {"catalog", "errors", "manifest", "seal", "session", "tenancy"},
    "call_record": {"errors", "model", "policy", "session", "stages"},
    "hiding": {"call_record", "errors", "hidden", "session"},
    "pipeline": {
        *("access", "call_record", "catalog", "detect", "errors", "hidden", "hiding", "load", "model", "policy"),
        *("request_id", "session", "stages", "upstream"),
    },
    "server": {"errors", "keepalive", "model", "pipeline", "request_id"},
    "front": {
        *("catalog", "detect", "errors", "fields", "keys", "manifest", "metric", "model", "pipeline", "policy"),
        *("gate", "hidden", "new_tenants", "ranking", "registry", "request_id", "rerank", "seal", "session", "shield"),
        *("stages", "tenancy", "upstream", "ways", "fresh"),
    },
    "sweep": {"catalog", "errors", "model", "policy", "shield"},
    "tls": {"errors"},
    "config": {"alerting", "errors", "loopback", "state", "tls"},
    "telemetry": {"errors", "stages"},
    "journal": {"errors"},
    "observing": {"alerting", "config", "errors", "keys", "journal", "telemetry", "telling", "trail"},
    "remembering": {"access", "config", "detect", "errors", "fresh", "keys", "policy", "state"},
    "wiring": {
        *(
            "remembering",
            "access",
            "blocks",
            "catalog",
            "config",
            "detect",
            "errors",
            "generation",
            "keys",
            "load",
            "observing",
        ),
        *("pipeline", "policy", "registry", "remembering", "server", "sweep", "telling", "tls", "upstream"),
    },
    "upkeep": {
        *("new_tenants", "tombstone", "fresh", "remembering"),
        *("catalog", "config", "errors", "generation", "journal", "keys", "manifest", "metric", "model", "observing"),
        *(
            "pipeline",
            "policy",
            "registry",
            "rerank",
            "seal",
            "shield",
            "sweep",
            "tenancy",
            "trail",
            "upstream",
            "wiring",
        ),
    },
    "engine": {"deferred", "errors", "keepalive", "stamp"},
    "worker": {"config", "deferred", "engine", "errors", "generation", "observing", "trail", "wiring"},
    "admin": {
        *("blocks", "catalog", "config", "detect", "errors", "generation", "keepalive", "keys", "model", "policy"),
        *("registry", "remembering", "shield", "state", "telling", "upkeep", "upstream", "v1", "wiring"),
    },
    "process": {
        *("admin", "config", "errors", "generation", "keys", "observing", "policy", "registry", "telemetry", "trail"),
        *("wiring",),
    },
    "demo": {"errors"},
    "audit": {
        *("demo", "errors", "keys", "manifest", "metric", "policy", "registry", "rerank", "dense_shield", "shield"),
        "transform",
    },
    "cli": {
        *("audit", "config", "deferred", "demo", "detect", "engine", "errors", "journal", "keys", "policy", "process"),
        *("registry", "remembering", "trail", "transform", "upkeep", "v1"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}
# Layers that know no wire protocol and no server.
PURE = {
    *("errors", "model", "registry", "generation", "metric", "keys", "transform", "seal", "policy", "fields"),
    *("manifest", "rerank", "ranking", "dense_shield", "shield", "catalog"),
}
WIRE = {"grpc", "google", "qdrant_client", "qdrant_edge"}
# The client library of each key provider, which its own file alone may import.
CLIENTS = {
    **{"hvac": "vault.py", "boto3": "aws_kms.py", "botocore": "aws_kms.py", "google.cloud": "gcp_kms.py"},
    **{
        "google.auth": "gcp_kms.py",
        "google.api_core": "gcp_kms.py",
        "azure": "azure_keyvault.py",
        "pkcs11": "pkcs11.py",
    },
}
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "tools", "base_utils"}
LEARNING = ("torch", "onnxruntime", "tokenizers", "matplotlib", "opacus")
# Neither the audit lab's packages nor those of a key provider that is not configured.
UNUSED = (*LEARNING, "hvac", "boto3", "azure", "pkcs11", "opentelemetry", "prometheus_client", "redis")
LONGEST_MODULE = 420
LONGEST_FUNCTION = 42


def modules(folder: Path = PACKAGE) -> list[Path]:
    """All modules of the package."""
    return sorted(path for path in folder.rglob("*.py") if not path.name.endswith("_pb2.py"))  # generated


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only the type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from run_time(other)
        else:
            yield from run_time(child)


def imported(path: Path) -> set[str]:
    """Dotted names of the modules that a module imports, at the top or inside a function."""
    found: set[str] = set()
    for node in run_time(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def layer(path: Path) -> str:
    """The layer that a module belongs to: its package under vecguard, or itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layers_of(names: set[str]) -> set[str]:
    """The layers of the package among imported names."""
    return {parts[1] for parts in (name.split(".") for name in names) if parts[0] == "vecguard" and len(parts) > 1}


def test_the_reader_of_imports_sees_what_it_must(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vecguard.front import x\nelse:\n"
        "    import vecguard.keys.key\ndef f():\n    from vecguard import engine\n"
    )
    assert layers_of(imported(module)) == {"keys", "engine"}


def offenders(rule: Callable[[Path], object]) -> dict[str, object]:
    """What a rule finds wrong, by module; one test for all, since there are hundreds of modules."""
    return {str(path.relative_to(PACKAGE)): found for path in modules() if (found := rule(path))}


def test_every_layer_is_in_the_table() -> None:
    assert {layer(path) for path in modules()} == set(ARROWS)


def test_arrows() -> None:
    """Every import goes where the table says."""
    assert offenders(lambda path: layers_of(imported(path)) - {layer(path)} - ARROWS.get(layer(path), set())) == {}


def test_the_table_has_no_arrow_that_nobody_needs() -> None:
    used: dict[str, set[str]] = {name: set() for name in ARROWS}
    for path in modules():
        used[layer(path)] |= layers_of(imported(path)) - {layer(path)}
    unused = {name: ARROWS[name] - used[name] - {"errors", "metric"} for name in ARROWS}
    assert {name: more for name, more in unused.items() if more} == {}


def test_arrows_run_one_way() -> None:
    order = list(ARROWS)
    for name, targets in ARROWS.items():
        assert all(order.index(target) < order.index(name) for target in targets), name


def test_who_reaches_fronts_and_engine() -> None:
    assert {name for name, targets in ARROWS.items() if "front" in targets} == set()
    assert {name for name, targets in ARROWS.items() if "engine" in targets} == {"worker", "cli"}
    text = (PACKAGE / "registry.py").read_text()
    assert "vecguard.front.qdrant:FRONT" in text
    assert "FRONTS.load" in (PACKAGE / "wiring.py").read_text()
    assert "vecguard.engine.supervisor:EngineProcess" in text
    assert "ENGINES.load" in (PACKAGE / "process.py").read_text()


def test_who_knows_a_wire_protocol() -> None:
    def misplaced(path: Path) -> set[str]:
        names = {name for name in imported(path) if not any(name.startswith(f"{client}.") for client in CLIENTS)}
        banned = set() if layer(path) == "audit" else {"torch"}
        banned |= WIRE if layer(path) in PURE else set()
        banned |= {"qdrant_edge"} if layer(path) == "front" else set()
        return banned & {name.partition(".")[0] for name in names}

    assert offenders(misplaced) == {}


def test_who_imports_a_key_providers_client() -> None:
    def misplaced(path: Path) -> list[str]:
        others = [client for client, file in CLIENTS.items() if path != PACKAGE / "keys" / file]
        return [client for client in others if any(f"{name}.".startswith(f"{client}.") for name in imported(path))]

    assert offenders(misplaced) == {}


@pytest.mark.parametrize("folder", ["vecguard", "benchmarks", "tests", "examples"])
def test_no_module_has_a_name_that_says_nothing(folder: str) -> None:
    named = [path for path in modules(ROOT / folder) if VAGUE & {part.removesuffix(".py") for part in path.parts[-3:]}]
    assert named == []


def misshapen(path: Path) -> list[str]:
    """What a module lacks or has too much of."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    any_length = path.is_relative_to(PACKAGE) and layer(path) in {"cli", "demo"}  # a command's options are its length
    found = [] if ast.get_docstring(tree) else ["no docstring"]
    if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE:
        found.append("too long")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any_length:
            found += [node.name] if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION else []
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Factory", "Helper", "Utils")):
            found.append(node.name)
    return found


def test_shape() -> None:
    """A docstring, a size that can be read, and no classes named after patterns."""
    assert offenders(misshapen) == {}


def test_what_is_misshapen_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("class KeyFactory:\n    def make(self):\n" + "        pass\n" * LONGEST_MODULE)
    assert misshapen(module) == ["no docstring", "too long", "KeyFactory", "make"]
    module.write_text('"""What it is for."""\n\n\nclass Key:\n    def make(self):\n        pass\n')
    assert misshapen(module) == []


class TestServe:
    """`vecguard serve` runs without what only the audit lab, the demo, or another key provider needs."""

    @pytest.fixture
    def traps(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Packages of those names that leave a mark when anything imports them; returns the file of marks."""
        marks = tmp_path / "marks"
        for name in UNUSED:
            package = tmp_path / "traps" / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(
                f"from pathlib import Path\nwith Path({str(marks)!r}).open('a') as f:\n    f.write('{name} ')\n"
            )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "traps"))
        return marks

    @pytest.mark.parametrize("name", UNUSED)
    def test_the_traps_work(self, traps: Path, name: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
        assert traps.read_text() == f"{name} "

    def test_no_part_of_a_running_server_imports_them(self, traps: Path, tmp_path: Path) -> None:
        with serving_proxy(tmp_path / "proxy") as proxy:
            client: QdrantClient = proxy.client()
            client.create_collection("c", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
            client.upsert("c", [models.PointStruct(id=1, vector=[1, 2, 3, 4], payload={"a": "b"})])
            assert len(client.query_points("c", query=[1, 2, 3, 4]).points) == 1
            client.close()
        assert not traps.exists()
