"""Every line of the registry loads, and what is not there is refused by name."""

import subprocess
import sys

import pytest

from vecguard.errors import ConfigError
from vecguard.registry import KEY_PROVIDERS, LISTENERS, TRANSFORMS


@pytest.mark.parametrize("registry", [KEY_PROVIDERS, LISTENERS, TRANSFORMS])
def test_every_entry_loads(registry) -> None:
    for kind in registry.kinds:
        assert callable(registry.load(kind))


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no transform 'shuffle'; known: rotation, gaussian, analytic"):
        TRANSFORMS.load("shuffle")


def test_importing_the_registry_imports_no_entry() -> None:
    code = "import sys, vecguard.registry; print([m for m in sys.modules if m.startswith('vecguard.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['vecguard.errors', 'vecguard.registry']"
