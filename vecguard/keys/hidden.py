"""The process's environment without a way to print it: it holds keys, tokens and passphrases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn, SupportsIndex


class HiddenEnvironment(Mapping[str, str]):
    """Gives single variables by name. Neither a printed traceback with local variables nor a log shows the others."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is looked into at each use, not copied."""
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def __repr__(self) -> str:
        return "HiddenEnvironment(…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("the environment cannot be pickled")
