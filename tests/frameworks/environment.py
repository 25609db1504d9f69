"""The environments that hold the frameworks, and running a script in one of them.

They are made by `make test` (or `make .venv-frameworks .venv-pymilvus2`): one pymilvus cannot suit all frameworks, and
the product depends on none of them. VECGUARD_FRAMEWORKS_PYTHON and VECGUARD_PYMILVUS2_PYTHON name other interpreters.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).parent / "scenarios"
GUARD = Path(__file__).parent / "offline"
"""Holds a `sitecustomize` that refuses every outward connection of a script, and writes it down."""
LIMIT_S = 240
# What the frameworks offer against calling home and loading models by name.
OFFLINE = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "MEM0_TELEMETRY": "False",
    "OPENBLAS_NUM_THREADS": "1",
    "TRANSFORMERS_OFFLINE": "1",
}


def python_of(environment: str) -> Path:
    """The interpreter of an environment ("frameworks" or "pymilvus2"); the test fails if it is not there."""
    given = os.environ.get(f"VECGUARD_{environment.upper()}_PYTHON")
    python = Path(given) if given else ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python} is not there: make .venv-{environment}")
    return python


def run(
    script: Path,
    arguments: Sequence[str],
    home: Path,
    environment: str = "frameworks",
    *,
    typed: str = "",
    settings: Mapping[str, str] = OFFLINE,
) -> str:
    """Run a script to its end in an environment, offline and with a home folder of its own; what it printed.

    `typed` is what it reads from stdin, `settings` are environment variables for the frameworks.
    The test fails if the script does, or if it tried to reach beyond this machine.
    """
    home.mkdir(parents=True, exist_ok=True)
    outward = home / "outward.txt"
    variables = os.environ | settings | {"HOME": str(home), "MEM0_DIR": str(home / "mem0"), "TMPDIR": str(home)}
    variables |= {"PYTHONPATH": str(GUARD), "VECGUARD_OUTWARD_LOG": str(outward)}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        variables.pop(name, None)
    ended = subprocess.run(
        [str(python_of(environment)), str(script), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=variables,
        cwd=home,
        check=False,
    )
    if ended.returncode != 0:
        pytest.fail(f"{script.name} ended with {ended.returncode}:\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
    if outward.exists():
        pytest.fail(f"{script.name} tried to reach {sorted(set(outward.read_text().split()))}")
    return ended.stdout


def reported(printed: str) -> dict[str, Any]:
    """The report of a scenario: the last line that it printed."""
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report
