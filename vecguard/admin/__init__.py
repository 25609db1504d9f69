"""The control plane: what an operator asks and tells a running server, on a port of its own."""
