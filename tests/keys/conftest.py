"""Known answers for the tests of keys."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def known_keys() -> dict[str, Any]:
    return json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
