"""Training of attackers; the only modules here that import torch."""
