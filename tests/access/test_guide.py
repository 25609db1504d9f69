"""The set-up of docs/operations.md, with TLS, tokens and two tenants: its commands, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEADING = "## From nothing to TLS, tokens and two tenants"


def commands() -> str:
    """The shell blocks of the guide, one after another."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split(HEADING, 1)[1].split("\n## ", 1)[0]
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 6
    return "\n".join(blocks)


@pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("curl"), reason="the guide needs openssl and curl")
def test_the_guide_works_as_it_is_written(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "vecguard"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m vecguard "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "guide"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    text = commands()
    for port in ("6334", "6333"):  # those of the guide may be in use here
        text = text.replace(port, str(free_port()))
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    log = (folder / "server.log").read_text() if (folder / "server.log").exists() else ""
    said = f"{done.stdout}\n{done.stderr}\n{log}"
    for tenant, number in (("acme", 1), ("bolt", 2)):
        found = json.loads((folder / f"{tenant}.json").read_text())["result"]["points"]
        assert [one["id"] for one in found] == [number], said
        assert found[0]["payload"]["tenant_id"] == tenant
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    *_, empty, count, foreign, snapshot, nobody = answers
    assert empty["result"] == [], said
    assert count["result"]["count"] == 1
    assert "must hold the caller's own value" in foreign["status"]["error"]
    assert "may not" in snapshot["status"]["error"]
    assert "a credential is needed" in nobody["status"]["error"]
    explained = re.sub(r"\s+", " ", (folder / "explained.txt").read_text())
    assert "tenant_id = its tenant" in explained
    stored = b"".join(file.read_bytes() for file in (folder / "vecguard-data").rglob("*") if file.is_file())
    assert b"a note of Acme" not in stored
    assert b"ey" + b"J" not in log.encode(), "a token is in the log"
