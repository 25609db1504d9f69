"""docs/milvus-api.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from vecguard.front.milvus.document import document
from vecguard.front.milvus.table import ROUTES

PAGE = Path(__file__).parents[3] / "docs" / "milvus-api.md"


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == document()


def test_the_page_names_every_rpc() -> None:
    text = document()
    assert all(f"| `{rpc.rpartition('/')[2]}` |" in text for rpc in ROUTES)
