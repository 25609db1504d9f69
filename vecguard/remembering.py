"""What processes remember together, opened as the settings say: the store of shared state, and what is kept in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecguard.access.rates import LocalRates, Rates
from vecguard.config import Settings
from vecguard.detect.memory import MemoryStore
from vecguard.errors import ConfigError
from vecguard.keys.lease import LeasingProvider
from vecguard.policy.model import Policy

if TYPE_CHECKING:  # loaded only where they are used
    from vecguard.detect.sharing import Sharing
    from vecguard.fresh.memory import Memory
    from vecguard.state.connection import Connection


def open_state(settings: Settings, provider: LeasingProvider) -> Connection | None:
    """The connection to what processes share. Raises ConfigError."""
    if settings.state is None:
        return None
    try:
        from vecguard.state.connection import Connection
    except ImportError:
        raise ConfigError("`state` needs the Redis client: pip install 'vecguard[redis]'") from None
    return Connection(settings.state, provider)


def rates_in(state: Connection | None) -> Rates:
    if state is None:
        return LocalRates()
    from vecguard.access.shared_rates import SharedRates

    return SharedRates(state)


def memory_in(settings: Settings, provider: LeasingProvider, state: Connection | None) -> Memory | None:
    """What remembers which records are the newest: a file of this host, or the store; None without both."""
    if settings.rollback_memory is not None:
        from vecguard.fresh.file import FileMemory

        return FileMemory(settings.rollback_memory, provider)
    if state is None:
        return None
    from vecguard.fresh.redis import RedisMemory

    return RedisMemory(state)


def sharing_of(state: Connection, memory: MemoryStore) -> Sharing:
    """This process' part in what several remember of principals; `memory` is what it goes on with by itself."""
    from vecguard.detect.failover import LocalWhileAway
    from vecguard.detect.redis import RedisStore
    from vecguard.detect.sharing import Sharing

    shared = RedisStore(state)
    return Sharing(state, shared, LocalWhileAway(shared, memory) if state.settings.fail == "local" else None)


def require_memory(settings: Settings, rules: Policy) -> None:
    """Refuse a policy that asks for what only a memory outside the database can tell, where there is none.

    Raises:
        ConfigError: it does.
    """
    asking = next((entry for entry in rules.collections if entry.detects_rollback), None)
    if asking is None:
        return
    if settings.state is None and settings.rollback_memory is None:
        raise ConfigError(
            f"{asking.name}.integrity has `rollback: detect`, and the settings have neither `state` nor "
            "`rollback_memory`: what is newest is remembered in a Redis or Valkey server, or a file, that the "
            "database's writers cannot reach (docs/operations.md)"
        )
