"""The routes that the same load takes, and the policy file that gives VecGuard's four routes their protection.

The proxy tells its routes apart by the collection's name, so that one proxy process serves them all in one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Middle = Literal["none", "passthrough", "vecguard"]


@dataclass(frozen=True)
class Route:
    """One way from the client to the engine: its key, its name in tables and in full, and the process in the middle."""

    key: str
    name: str
    title: str
    middle: Middle

    def collection(self, dims: int) -> str:
        """The collection that this route writes and searches."""
        return f"{self.key}_{dims}"


DIRECT = Route("direct", "direct", "direct to the engine", "none")
BARE = Route("bare", "bare", "bare pass-through", "passthrough")
ROTATE = Route("rotate", "rotate", "VecGuard: rotation", "vecguard")
NOISE = Route("noise", "+ noise", "VecGuard: rotation + noise", "vecguard")
DETECT = Route("detect", "+ detection", "VecGuard: rotation + noise + detection", "vecguard")
DEFAULT = Route("default", "default", "VecGuard: the default policy, re-ranking and detection with it", "vecguard")
ROUTES = (DIRECT, BARE, ROTATE, NOISE, DETECT, DEFAULT)

POLICY = """\
version: 1
access:
  anonymous: [read, write, admin]
collections:
  - match: rotate_*
    vectors:
      - transforms: [{kind: rotation}]
        rerank: "off"
    detection: {mode: "off"}
  - match: noise_*
    vectors:
      - transforms: [{kind: rotation}, {kind: gaussian, ratio: 1.0}]
        rerank: "off"
    detection: {mode: "off"}
  - match: detect_*
    vectors:
      - transforms: [{kind: rotation}, {kind: gaussian, ratio: 1.0}]
        rerank: "off"
  - match: default_*
"""
"""`default_*` says nothing more, so it gets the default policy; payload fields are sealed on all four."""
