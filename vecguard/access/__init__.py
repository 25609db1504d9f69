"""Who calls: credentials to principals, and how much each may do in a time. What they may do, the policy decides."""
