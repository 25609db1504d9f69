"""What an operator should know of as it happens: which events those are, and a webhook that is told of them."""
