"""Where a migration is, in a file: so that one that was cut off goes on where it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vecguard.errors import ConfigError

Phase = Literal["making", "copying", "comparing", "taking over", "done"]


class Journal(BaseModel):
    """One migration. It names collections and keys, and holds nothing of what records hold."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    format: Literal[1] = 1
    source: str
    target: str
    in_place: bool
    aside: str
    phase: Phase = "making"
    after: str | None = None
    """Where copying goes on; None at the beginning."""
    copied: int = 0
    repaired: int = 0
    passes: int = 0
    outcome: str = ""


def load(file: Path) -> Journal | None:
    """The migration that a file tells of; None where there is no such file.

    Raises:
        ConfigError: it cannot be read, or is no journal.
    """
    try:
        return Journal.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise ConfigError(f"state file {file} is no journal of `vecguard migrate`, or cannot be read") from None


def save(file: Path, journal: Journal) -> None:
    """Write it, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    fresh = file.with_name(f"{file.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(journal.model_dump_json(indent=2))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError as fault:
        raise ConfigError(f"state file {file} cannot be written: {fault.strerror}") from None
