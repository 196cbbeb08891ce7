"""LoRA: adapters of low rank that learn in place of the weights of a text encoder or a U-Net.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (https://arxiv.org/abs/2106.09685), with alpha = rank.
"""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from tradeoffs.errors import InputError
from tradeoffs.model.encoders import FAMILIES

Network = TypeVar("Network", bound=torch.nn.Module)


def with_adapters(network: PreTrainedModel, rank: int, seed: int) -> PeftModel:
    """The text encoder with LoRA adapters, which alone require gradients; at first they change nothing.

    Adapters of the given rank stand at the query and value layers of every attention.
    """
    names = FAMILIES[network.config.model_type].adapted
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(network, LoraConfig(r=rank, lora_alpha=rank, target_modules=list(names)))


def unet_with_adapters(
    unet: UNet2DConditionModel, rank: int, targets: Sequence[str], seed: int
) -> UNet2DConditionModel:
    """The U-Net, in place, with LoRA adapters of the given rank; at first they change nothing.

    targets: ends of the names of its linear or convolutional layers, such as to_q or attn2.to_k
    Raises InputError for a target that no such layer has.
    """
    layers = [name for name, layer in unet.named_modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            raise InputError(
                f"unet_lora_targets: no layer of the U-Net has a name that ends in {target}; its cross-attention has "
                "attn2.to_q, attn2.to_k, attn2.to_v and attn2.to_out.0"
            )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets)))
    return unet


def adapters(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights of the adapters of a network; none if it has no adapters."""
    return [weight for name, weight in network.named_parameters() if "lora_" in name]


def merged(network: Network) -> Network:
    """A plain network: one with adapters gets them added to its weights, as a copy."""
    if isinstance(network, PeftModel):
        return copy.deepcopy(network).merge_and_unload()
    if not adapters(network):
        return network
    plain = copy.deepcopy(network)
    plain.fuse_lora()
    plain.unload_lora()
    return plain
