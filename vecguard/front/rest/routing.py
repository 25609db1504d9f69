"""Finding the endpoint of a request in the table, by method and path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from vecguard.front.rest.endpoint import AnyEndpoint
from vecguard.front.rest.refusals import Refusal

_NAME: Final = "{}"


class _Node:
    """One segment of the paths that share what lies before it."""

    __slots__ = ("children", "endpoints")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.endpoints: dict[str, AnyEndpoint] = {}


class Router:
    """The table as a tree of path segments; a segment that is written out goes before one that is a parameter."""

    def __init__(self, endpoints: Sequence[AnyEndpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            node = self._root
            for segment in _segments(endpoint.path):
                node = node.children.setdefault(_NAME if segment.startswith("{") else segment, _Node())
            assert endpoint.method not in node.endpoints  # noqa: S101 - one row an endpoint
            node.endpoints[endpoint.method] = endpoint

    def find(self, method: str, raw_path: bytes) -> tuple[AnyEndpoint, dict[str, str]]:
        """The endpoint, and the path's parameters by name.

        Raises:
            Refusal: there is no such path (404), or it does not know the method (405).
        """
        try:
            given = _segments(raw_path.decode("ascii"))
            decoded = [unquote_to_bytes(segment).decode("utf-8") for segment in given]
        except UnicodeDecodeError:
            raise Refusal(404, "Not found: the path is not UTF-8") from None
        node = _walk(self._root, given, decoded, 0)
        if node is None:
            raise Refusal(404, "Not found: there is no such path")
        endpoint = node.endpoints.get(method)
        if endpoint is None:
            allowed = ", ".join(sorted(node.endpoints))
            raise Refusal(405, f"Method not allowed: this path takes {allowed}", {"allow": allowed})
        names = _segments(endpoint.path)
        return endpoint, {name[1:-1]: text for name, text in zip(names, decoded, strict=True) if name.startswith("{")}


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


def _walk(node: _Node, given: list[str], decoded: list[str], depth: int) -> _Node | None:
    if depth == len(given):
        return node if node.endpoints else None
    exact = node.children.get(given[depth])
    if exact is not None and given[depth] != _NAME:
        found = _walk(exact, given, decoded, depth + 1)
        if found is not None:
            return found
    named = node.children.get(_NAME)
    return _walk(named, given, decoded, depth + 1) if named is not None and decoded[depth] else None
