"""Benchmarks of VecGuard: what protection costs, how fast vectors are protected, and what search quality stays.

Run from the repository's root: `python -m benchmarks --help`. Nothing in the package `vecguard` imports this one.
"""
