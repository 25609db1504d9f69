"""What must not be carried away or printed: providers, and the process's environment with its keys and tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn, SupportsIndex


class Unpicklable:
    """Refuses to be pickled, and with that to be copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled")


class HiddenEnvironment(Unpicklable, Mapping[str, str]):
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
