"""Vendors' client packages without their clients: their start-up is put off until something asks for it.

The server and the engine need the generated protocol modules of `qdrant_client` and of `pymilvus` alone, while the
start-up of either package builds its clients and all their models: a second of CPU, and tens of MiB in every process.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Final

CLIENT_PACKAGES: Final = ("qdrant_client", "qdrant_client.http", "pymilvus")
"""What the server imports modules of; REST uses the models of `qdrant_client.http`, and not its clients."""

_starting = threading.RLock()


def defer(*packages: str) -> None:
    """Let modules inside of `packages` be imported without the packages' own start-up.

    That runs when anything else is asked of such a package, so nothing else changes for whoever imports it. A package
    that is imported already, or not installed, is left as it is.
    """
    for name in packages:
        spec = find_spec(name) if name not in sys.modules else None
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is not None:
            package = module_from_spec(spec)
            package.__class__ = _Deferred
            sys.modules[name] = package


class _Deferred(ModuleType):
    """A package whose own code has not run."""

    def __getattr__(self, name: str) -> object:
        spec: ModuleSpec = self.__spec__  # type: ignore[assignment]
        # `from package import module` asks here first, and looks for a file only where there is no such attribute.
        if find_spec(f"{spec.name}.{name}") is not None:
            raise AttributeError(name)
        with _starting:
            if type(self) is _Deferred:
                self.__class__ = ModuleType  # type: ignore[assignment]
                assert spec.loader is not None  # noqa: S101 - `defer` took no other
                spec.loader.exec_module(self)
        return getattr(self, name)
