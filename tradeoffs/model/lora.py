"""LoRA on text encoders: adapters of low rank that learn in place of the weights."""

import copy

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from tradeoffs.model.encoders import FAMILIES


def with_adapters(network: PreTrainedModel, rank: int, seed: int) -> PeftModel:
    """The text encoder with LoRA adapters, which alone require gradients; at first they change nothing.

    Adapters of the given rank stand at the query and value layers of every attention, as in Hu et al., LoRA
    (https://arxiv.org/abs/2106.09685), with alpha = rank.
    """
    names = FAMILIES[network.config.model_type].adapted
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(network, LoraConfig(r=rank, lora_alpha=rank, target_modules=list(names)))


def adapters(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights of the adapters of a network; none if it has no adapters."""
    return [weight for name, weight in network.named_parameters() if "lora_" in name]


def merged(network: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """A plain text encoder: one with adapters gets them added to its weights, as a copy."""
    return copy.deepcopy(network).merge_and_unload() if isinstance(network, PeftModel) else network
