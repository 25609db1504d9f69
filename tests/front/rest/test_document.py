"""docs/compatibility.md says what the tables say."""

from __future__ import annotations

from pathlib import Path

from vecguard.front.qdrant.table import ROUTES
from vecguard.front.rest.document import document
from vecguard.front.rest.table import ENDPOINTS
from vecguard.registry import FRONTS

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), "run python -m vecguard.front.rest.document"


def test_the_page_has_every_endpoint_of_every_protocol() -> None:
    page = document()
    for endpoint in ENDPOINTS:
        assert page.count(f"| `{endpoint.method} {endpoint.path}` |") == 1
    for rpc in ROUTES:
        assert f"\n| `{rpc}` |" in page
    for kind in FRONTS.kinds:
        for rpc in FRONTS.load(kind).routes:
            assert f"\n| `{rpc}` |" in page
