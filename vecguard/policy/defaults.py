"""The policy of a proxy that was told nothing: everything is protected, search stays exact (DESIGN.md §5)."""

from __future__ import annotations

from typing import Final

from vecguard.policy.model import CollectionPolicy, Policy

# Rotation, noise of ratio 1.0, derived recovery, certified re-ranking and sealed payload are the model's own defaults.
DEFAULT_POLICY: Final = Policy(version=1, collections=(CollectionPolicy(match="*"),))
