"""A corrector that starts as its base: same tables, which stay as they are, and new inputs that start at nothing."""

from __future__ import annotations

import torch

from vecguard.audit.training.network import InverterNetwork

# Of the base, and not learnt again: the checkpoint holds them once.
SHARED = ("tokens", "words", "word_bias", "evidence_in", "evidence_out")


def corrector_of(base: InverterNetwork) -> InverterNetwork:
    """A network with `corrects` set that at first ignores the embeddings of hypotheses, and writes what base writes."""
    network = InverterNetwork(base.shape.model_copy(update={"corrects": True}))
    state = network.state_dict()
    dims = base.shape.dims
    for name, weight in base.state_dict().items():
        if name == "condition_in.weight":
            state[name] = torch.cat([weight, torch.zeros(len(weight), 2 * dims)], dim=1)
        else:
            state[name] = weight.clone()
    network.load_state_dict(state)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.partition(".")[0] not in SHARED)
    return network
