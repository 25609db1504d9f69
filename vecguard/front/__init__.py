"""Fronts: one wire protocol each."""
