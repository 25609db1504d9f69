"""Statistics that detectors are made of: pure functions on small arrays that lie in a detector's state."""
