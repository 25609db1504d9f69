"""The demo's own folder: made fresh for every run, and nothing of the user's is ever deleted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from vecguard.errors import ConfigError

MARKER = ".vecguard-demo"


@dataclass(frozen=True)
class DemoFolder:
    """Absolute paths of what a run leaves behind."""

    root: Path

    @property
    def unprotected(self) -> Path:
        """The database that got the notes in clear."""
        return self.root / "unprotected"

    @property
    def protected(self) -> Path:
        """The database behind VecGuard."""
        return self.root / "protected"

    @property
    def picture(self) -> Path:
        """The PNG."""
        return self.root / "demo.png"

    @property
    def figures(self) -> Path:
        """All figures as JSON."""
        return self.root / "demo.json"

    def log(self, name: str) -> Path:
        """Where the named server's output goes."""
        return self.root / f"{name}.log"


def prepare(path: Path) -> DemoFolder:
    """An empty folder at `path`; what an earlier demo left there is removed.

    Raises:
        ConfigError: there is something that no demo made, or the folder cannot be written.
    """
    root = path.resolve()
    try:
        if root.exists() and not (root / MARKER).exists() and (not root.is_dir() or any(root.iterdir())):
            raise ConfigError(f"{path} exists and was not made by the demo: choose another folder with --out")
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True)
        (root / MARKER).touch()
    except OSError as failure:
        raise ConfigError(f"cannot write the demo's folder {path}: {failure.strerror}") from failure
    return DemoFolder(root)
