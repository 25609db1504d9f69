"""The audit lab: real attacks against what a policy stores, and what the same policy costs in search quality."""
