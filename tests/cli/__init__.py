"""Tests of `vecguard.cli`."""
