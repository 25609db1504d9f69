"""The chart by Helm itself: it lints, and renders to what the reader of templates in these tests makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm import binary
from deploy.test_deployment import CHART, VALUES, manifests

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def helm() -> str:
    found = binary()
    if found is None:
        pytest.skip("HELM IS NOT THERE, SO THE CHART IS NOT RENDERED BY IT: install it, or name its file in HELM")
    return found


def run(helm: str, *arguments: str) -> str:
    done = subprocess.run([helm, *arguments], check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("name", VALUES)
def test_it_lints_and_renders_to_the_same(helm: str, name: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES[name]))
    run(helm, "lint", "--strict", str(CHART), "--values", str(values))
    rendered: dict[str, list[Any]] = {}
    for manifest in yaml.safe_load_all(run(helm, "template", "test", str(CHART), "--values", str(values))):
        if manifest is not None:
            rendered.setdefault(manifest["kind"], []).append(manifest)
    ours = manifests(VALUES[name])
    assert rendered.keys() == ours.keys()
    for kind, found in rendered.items():
        order = lambda manifest: manifest["metadata"]["name"]  # noqa: E731
        assert sorted(found, key=order) == sorted(ours[kind], key=order)
