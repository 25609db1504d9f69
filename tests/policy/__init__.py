"""Tests of `vecguard.policy`."""
