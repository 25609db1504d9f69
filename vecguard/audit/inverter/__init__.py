"""Text-inversion attacks that run without torch."""
