"""Detectors, one file each: what tells extraction from honest use. See `docs/detectors.md`."""
