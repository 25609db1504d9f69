"""The course of a risk: a few points of time and risk, as bytes, since it is kept of very many principals."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

_NUMBER: Final = "d"
_POINT_BYTES: Final = 16


class Trend(Sequence[tuple[float, float]]):
    """Points (seconds since 1970, risk), oldest first; it does not change."""

    __slots__ = ("_points",)

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        self._points = array(_NUMBER, (number for point in points for number in point)).tobytes()

    def __len__(self) -> int:
        return len(self._points) // _POINT_BYTES

    def __iter__(self) -> Iterator[tuple[float, float]]:
        numbers = memoryview(self._points).cast(_NUMBER)
        return zip(numbers[::2], numbers[1::2], strict=True)

    @overload
    def __getitem__(self, at: int) -> tuple[float, float]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[tuple[float, float]]: ...
    def __getitem__(self, at: int | slice) -> tuple[float, float] | Sequence[tuple[float, float]]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trend) and self._points == other._points

    def __hash__(self) -> int:
        return hash(self._points)

    def __repr__(self) -> str:
        return f"Trend({list(self)})"

    def then(self, time: float, risk: float, most: int) -> Trend:
        """With one more point in the end, `most` in all at most."""
        return Trend([*self, (time, risk)][-most:])
