"""Options of commands that work on a database: which one, and with which key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from vecguard.config import FrontName, Settings, load_settings

DatabaseOption: TypeAlias = Annotated[
    FrontName | None, typer.Option(help="Which of two upstreams is meant: qdrant or milvus.")
]
UpstreamOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="The database, as for `vecguard serve`. [default: embedded:vecguard-data]")
]
KeyOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Key provider, as for `vecguard serve`. [default: file:vecguard.key]")
]
PolicyOption: TypeAlias = Annotated[Path | None, typer.Option(help="Policy file. [default: the built-in policy]")]
ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Settings file (YAML) of `vecguard serve`; options here win over it.")
]


def settings_of(
    config: Path | None, upstream: list[str] | None, key: str | None, policy: Path | None = None
) -> Settings:
    """The settings that a command works with.

    Raises:
        ConfigError: a setting is wrong.
    """
    return load_settings(config, {"upstream": upstream or None, "key": key, "policy": policy})
