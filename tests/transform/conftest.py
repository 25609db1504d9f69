"""Known answers for the tests of transforms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def known() -> Callable[[str], Any]:
    return lambda name: json.loads((FOLDER / f"{name}.json").read_text())
