"""VecGuard: a privacy proxy for vector databases."""

__version__ = "0.1.0"
