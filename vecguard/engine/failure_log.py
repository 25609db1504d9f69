"""Logging of failures nobody foresaw: where they happened and of what kind, without the values they speak of."""

from __future__ import annotations

import logging
import traceback


def log_failure(log: logging.Logger, where: str, failure: BaseException) -> None:
    """Log the kind of `failure` and its stack. Its text may quote payloads or vectors, and is left out."""
    stack = "".join(traceback.format_tb(failure.__traceback__))
    log.error("%s in %s\n%s", type(failure).__name__, where, stack)
