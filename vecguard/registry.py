"""What can be plugged in: one line an entry, `kind: "module:attribute"`.

Entries are loaded on first use, so that a front, a cloud SDK or a learned transform costs nothing, and is not even
imported, where it is not configured.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from vecguard.errors import ConfigError

if TYPE_CHECKING:
    from vecguard.detect.detector import Detector
    from vecguard.engine.base import Engine
    from vecguard.front.base import Front
    from vecguard.front.rest.listener import RestServer
    from vecguard.keys.provider import ProviderOpener
    from vecguard.transform.base import TransformBuilder

T = TypeVar("T")


class Registry(Generic[T]):
    """A named table of things that are loaded by kind."""

    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self._noun = noun
        self._entries = entries

    @property
    def kinds(self) -> tuple[str, ...]:
        """The registered kinds, in order of registration."""
        return tuple(self._entries)

    def load(self, kind: str) -> T:
        """The entry of `kind`.

        Raises:
            ConfigError: no such kind; the message lists those there are.
        """
        target = self._entries.get(kind)
        if target is None:
            raise ConfigError(f"there is no {self._noun} {kind!r}; known: {', '.join(self._entries)}")
        module, _, attribute = target.partition(":")
        loaded: Any = getattr(import_module(module), attribute)
        return cast(T, loaded)


KEY_PROVIDERS: Registry[ProviderOpener] = Registry(
    "key provider",
    {
        "file": "vecguard.keys.file:open_provider",
        "environment": "vecguard.keys.environment:open_provider",
        "vault": "vecguard.keys.vault:open_provider",
        "aws-kms": "vecguard.keys.aws_kms:open_provider",
        "gcp-kms": "vecguard.keys.gcp_kms:open_provider",
        "azure-keyvault": "vecguard.keys.azure_keyvault:open_provider",
        "pkcs11": "vecguard.keys.pkcs11:open_provider",
    },
)

TRANSFORMS: Registry[TransformBuilder] = Registry(
    "transform",
    {
        "rotation": "vecguard.transform.rotation:build",
        "gaussian": "vecguard.transform.gaussian:build",
        "analytic-gaussian": "vecguard.transform.analytic_gaussian:build",
        "laplace": "vecguard.transform.laplace:build",
        "scale-and-perturb": "vecguard.transform.scale_and_perturb:build",
        "purkayastha": "vecguard.transform.purkayastha:build",
        "von-mises-fisher": "vecguard.transform.von_mises_fisher:build",
        "pca": "vecguard.transform.pca:build",
        "learned": "vecguard.transform.learned:build",
        "johnson-lindenstrauss": "vecguard.transform.johnson_lindenstrauss:build",
        "truncate": "vecguard.transform.truncation:build",
        "int8": "vecguard.transform.rounding:build_int8",
        "binary": "vecguard.transform.rounding:build_binary",
        "cells": "vecguard.transform.cells:build",
    },
)

DETECTORS: Registry[Detector] = Registry(
    "detector",
    {
        "aimless": "vecguard.detect.detectors.aimless:DETECTOR",
        "anchored": "vecguard.detect.detectors.anchored:DETECTOR",
        "buckets": "vecguard.detect.detectors.buckets:DETECTOR",
        "canaries": "vecguard.detect.detectors.canaries:DETECTOR",
        "chain": "vecguard.detect.detectors.chain:DETECTOR",
        "crawl": "vecguard.detect.detectors.crawl:DETECTOR",
        "coverage": "vecguard.detect.detectors.coverage:DETECTOR",
        "examples": "vecguard.detect.detectors.examples:DETECTOR",
        "enumeration": "vecguard.detect.detectors.enumeration:DETECTOR",
        "insertion": "vecguard.detect.detectors.insertion:DETECTOR",
        "membership": "vecguard.detect.detectors.membership:DETECTOR",
        "near-duplicates": "vecguard.detect.detectors.near_duplicates:DETECTOR",
        "novelty": "vecguard.detect.detectors.novelty:DETECTOR",
        "pinned": "vecguard.detect.detectors.pinned:DETECTOR",
        "walk": "vecguard.detect.detectors.walk:DETECTOR",
    },
)

FRONTS: Registry[Front] = Registry(
    "front",
    {
        "qdrant": "vecguard.front.qdrant:FRONT",
        "milvus": "vecguard.front.milvus:FRONT",
    },
)

LISTENERS: Registry[type[RestServer]] = Registry(
    "listener",
    {
        "rest": "vecguard.front.rest.listener:RestServer",
    },
)

ENGINES: Registry[type[Engine]] = Registry(
    "embedded database",
    {
        "embedded": "vecguard.engine.supervisor:EngineProcess",
        "embedded-milvus": "vecguard.engine.lite:LiteProcess",
    },
)
