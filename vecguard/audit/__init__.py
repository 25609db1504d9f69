"""The audit lab: attacks on protected vectors, and what they recover. Only vecguard.cli reaches it, lazily."""
