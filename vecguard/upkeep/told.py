"""What an operator's command puts into the audit trail: to the log, and into a journal of its own where there is one.

The journal is a chain like those of the workers (`vecguard.journal`), in the same folder, so that `vecguard trail
verify` checks it with them. What is told here has reached the disk before the command goes on.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import sys
from collections.abc import Iterator
from typing import Final

from vecguard.config import Settings
from vecguard.journal.writer import Journal, Place
from vecguard.keys.lease import LeasingProvider
from vecguard.observing import open_journal
from vecguard.trail import configure, event_line

WRITER: Final = "operator"
"""What stands in the place of a worker's number in the names of the files."""


class OperatorTrail:
    """Takes the events of one command."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._who = {"operator": _user(), "host": socket.gethostname()}

    def __call__(self, event: str, **fields: object) -> Place | None:
        """Tell an event, with who ran the command and where; its place in the journal, if there is one.

        Raises:
            ConfigError: it could not be written to the journal.
        """
        line = event_line(event, **fields, **self._who)
        place = None if self._journal is None else self._journal.record(line)
        sys.stderr.write(line.decode())
        return place


@contextlib.contextmanager
def operator_trail(settings: Settings, provider: LeasingProvider) -> Iterator[OperatorTrail]:
    """The trail of one command, closed behind it.

    Raises:
        ConfigError: the trail's folder cannot be written.
        Unavailable: the key provider, which wraps the journal's key, is away.
    """
    configure()  # checkpoints go to standard error, as those of a server do
    journal = open_journal(settings, provider, WRITER)
    try:
        yield OperatorTrail(journal)
    finally:
        if journal is not None:
            journal.close()


def _user() -> str:
    """Whom the system runs this process for."""
    number = os.getuid()
    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:
        return f"uid {number}"
