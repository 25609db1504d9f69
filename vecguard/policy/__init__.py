"""The policy file: what is protected how and who may do what; loading, deciding, explaining."""
