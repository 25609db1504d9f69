"""Extraction detection: what is seen of calls, the detectors that read it, and the answer to what they find."""
