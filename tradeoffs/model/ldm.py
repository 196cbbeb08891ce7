"""Single checkpoint files of the LDM code (Stable Diffusion 1.x and 2.x) as diffusers folders.

diffusers' own converters rename the weights; here every weight of the file is accounted for. The networks' sizes are
those of the weights. What weights do not tell (attention heads, noise schedule, what the U-Net predicts, scaling of the
latents) is taken from what the file declares (`ldm_declared`), else it is Stable Diffusion's. Where a file holds an
exponential moving average besides, the raw weights are taken (docs/differences.md, row 13).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tradeoffs.errors import InputError
from tradeoffs.model import ldm_declared
from tradeoffs.model.checkpoints import noise_schedule
from tradeoffs.model.declared import CLASSES, WHOLE, check_channels
from tradeoffs.model.ldm_declared import Statement
from tradeoffs.model.ldm_weights import UNET, VAE, Weights, count_blocks, filled, read_content, size_of, with_prefix
from tradeoffs.model.pipelines import stable_diffusion

MERGES = Path(__file__).resolve().parents[2] / "resources" / "ldm" / "merges.txt"
HEAD_WIDTH = 64  # of CLIP's text encoders, and of the U-Net in Stable Diffusion 2
SCALING_FACTOR = 0.18215
STATE_PREDICTION = "set base.prediction_type to epsilon or v_prediction"  # a remedy for a base
TEXT_PROJECTION = "cond_stage_model.model.text_projection"
# Of the LDM code, but no network of the pipeline needs them; model_ema.* and OpenCLIP's last layer besides
EXTRAS = {
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "lvlb_weights",
    "logvar",
    "cond_stage_model.transformer.text_model.embeddings.position_ids",
    "cond_stage_model.model.logit_scale",
    TEXT_PROJECTION,
    *ldm_declared.FLAGS,
}
VIT_H = (1024, 24)  # width and layers of Stable Diffusion 2's text encoder; the U-Net's context leaves out the last


@dataclass(frozen=True)
class Family:
    """A generation of Stable Diffusion: names in its text encoder, and what the weights do not tell.

    text: prefix of the text encoder's weights; tokens, positions, layers, inner: names of its embeddings, of its layers
    and of the first half of their feed-forward network
    heads: attention heads of the U-Net at a number of channels
    """

    text: str
    tokens: str
    positions: str
    layers: str
    inner: str
    activation: str
    pad_token: str
    heads: Callable[[int], int]


SD1 = Family(
    text="cond_stage_model.transformer.",
    tokens="text_model.embeddings.token_embedding.weight",
    positions="text_model.embeddings.position_embedding.weight",
    layers="text_model.encoder.layers.",
    inner="mlp.fc1.weight",
    activation="quick_gelu",
    pad_token="<|endoftext|>",
    heads=lambda channels: 8,
)
SD2 = Family(
    text="cond_stage_model.model.",
    tokens="token_embedding.weight",
    positions="positional_embedding",
    layers="transformer.resblocks.",
    inner="mlp.c_fc.weight",
    activation="gelu",
    pad_token="!",  # id 0
    heads=lambda channels: channels // HEAD_WIDTH,
)


@dataclass(frozen=True)
class Networks:
    """The networks of a checkpoint, float32 on the CPU, in evaluation mode."""

    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel


def convert(file: str | Path, folder: str | Path, prediction_type: str | None = None) -> None:
    """Writes the checkpoint `file` (.ckpt or .safetensors) as a complete diffusers folder with float32 weights.

    prediction_type: "epsilon" or "v_prediction", where the file does not say what its U-Net predicts
    Raises InputError if the file is no complete and unaltered Stable Diffusion 1.x or 2.x model, or if what it declares
    cannot be obeyed.
    """
    networks, tokenizer, schedule = read_model(Path(file), prediction_type)
    # Stable Diffusion's v models are the ones for 768 px
    side = 96 if schedule.config.prediction_type == "v_prediction" else 64
    networks.unet.register_to_config(sample_size=side)
    networks.vae.register_to_config(sample_size=side * 2 ** (len(networks.vae.config.block_out_channels) - 1))
    parts = networks.vae, networks.text_encoder, tokenizer, networks.unet, schedule
    stable_diffusion(*parts).save_pretrained(folder)


def read_model(file: Path, prediction_type: str | None = None) -> tuple[Networks, CLIPTokenizer, DDIMScheduler]:
    """The networks of a checkpoint, its tokenizer and noise schedule, every weight's name and shape checked.

    Arguments and errors are those of `convert`.
    """
    configuration, others = ldm_declared.beside(file)
    statements = ldm_declared.of_configuration(configuration) if configuration else []
    weights, more = read_content(file)
    statements += more
    if prediction_type:
        statements.append(Statement("base.prediction_type", "prediction_type", prediction_type))
    try:
        networks = build(weights, statements)
        tokenizer = build_tokenizer(networks)
        said = ldm_declared.agreed([*statements, *ldm_declared.of_weights(weights)])
        predicted = said.get("prediction_type") or _undeclared_prediction(networks, others)
        schedule = noise_schedule(
            predicted, **{key: said[key] for key in ("beta_start", "beta_end", "num_train_timesteps") if key in said}
        )
        check_schedule(weights, schedule)
        return networks, tokenizer, schedule
    except InputError as error:
        raise InputError(f"{file}: {error}; {WHOLE}") from error


def _undeclared_prediction(networks: "Networks", others: Sequence[Path]) -> str:
    """What a U-Net predicts of which nothing says it: every published Stable Diffusion 1.x predicts the noise, of 2.x
    some predict v. Raises InputError where that is not sure.

    others: configurations in the folder that may be the checkpoint's
    """
    said = [statement for other in others for statement in ldm_declared.of_configuration(other)]
    another = any(one.about == "prediction_type" and one.value != "epsilon" for one in said)
    if networks.family is SD2 or another:
        raise InputError(
            f"nothing says whether its U-Net predicts epsilon or v; {STATE_PREDICTION}, or put the model's inference "
            "configuration beside it, under its name with the suffix .yaml"
        )
    return "epsilon"


def check_schedule(weights: Weights, schedule: DDIMScheduler) -> None:
    """Raises InputError if the checkpoint holds another noise schedule than the one that it is taken to have."""
    for name, expected, tolerance in (
        ("alphas_cumprod", schedule.alphas_cumprod, 1e-3),  # halves differ
        ("betas", schedule.betas, 5e-5),
    ):
        found = weights.get(name)
        if found is not None and not (
            found.shape == expected.shape and torch.allclose(found.float(), expected, rtol=0, atol=tolerance)
        ):
            raise InputError(f"{name} is another noise schedule than Stable Diffusion's, or than its .yaml declares")


def build(weights: Weights, statements: Sequence[Statement] = ()) -> Networks:
    """The networks from the weights of a whole checkpoint.

    statements: what the file says beside them
    Raises InputError, without the file's name, at a weight that is missing, unknown or of another shape, and for what
    cannot be obeyed.
    """
    said = ldm_declared.agreed([*statements, *ldm_declared.of_weights(weights)])
    if said.get("scale_by_std") and "scale_factor" not in weights:
        raise InputError("scale_by_std is declared, but the weight scale_factor that it makes is missing")
    whole_tower = TEXT_PROJECTION in weights
    weights = {n: weight for n, weight in weights.items() if n not in EXTRAS and not n.startswith("model_ema.")}
    families = [family for family in (SD1, SD2) if any(name.startswith(family.text) for name in weights)]
    if len(families) != 1:
        raise InputError("not one text encoder of Stable Diffusion 1.x (CLIP) or 2.x (OpenCLIP) is in it")
    family = families[0]
    unet, vae, text = (with_prefix(weights, prefix) for prefix in (UNET, VAE, family.text))
    unknown = sorted(weights.keys() - unet.keys() - vae.keys() - text.keys())
    if unknown:
        raise InputError(f"weight {unknown[0]} is unknown")
    quantised = [name for name, weight in weights.items() if not weight.is_floating_point()]
    if quantised:
        raise InputError(f"weight {quantised[0]} is of the type {weights[quantised[0]].dtype}, so quantised")
    if any(name.startswith(f"{UNET}label_emb.") for name in unet):
        raise InputError(CLASSES)
    try:
        networks = Networks(
            family, _unet(unet, family, said), _vae(vae, said), _text_encoder(text, family, said, whole_tower)
        )
    except KeyError as error:
        raise InputError(f"weight {error.args[0]} is missing") from error
    _check_fit(networks, said)
    return networks


def _check_fit(networks: Networks, said: Mapping[str, Any]) -> None:
    unet = networks.unet.config
    check_channels(unet.in_channels, unet.out_channels, networks.vae.config.latent_channels)
    if unet.cross_attention_dim != networks.text_encoder.config.hidden_size:
        raise InputError(
            f"its U-Net takes text of width {unet.cross_attention_dim}, its text encoder gives "
            f"{networks.text_encoder.config.hidden_size}"
        )
    sizes = {
        "context_dim": unet.cross_attention_dim,
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "model_channels": unet.block_out_channels[0],
        "max_length": networks.text_encoder.config.max_position_embeddings,
    }
    for key, size in sizes.items():
        if said.get(key, size) != size:
            raise InputError(
                f"by its weights {key} is {size}, the configuration beside it says {said[key]}, so is another model's"
            )


def _unet(weights: Weights, family: Family, said: Mapping[str, Any]) -> UNet2DConditionModel:
    levels = 1 + sum(name.startswith(f"{UNET}input_blocks.") and name.endswith(".0.op.weight") for name in weights)
    layers = count_blocks(weights, f"{UNET}input_blocks.") // levels - 1
    firsts = [f"{UNET}input_blocks.{1 + level * (layers + 1)}" for level in range(levels)]
    channels = [size_of(weights, f"{first}.0.out_layers.3.weight") for first in firsts]
    attended = [f"{first}.1.norm.weight" in weights for first in firsts]
    context = f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    config = {
        "in_channels": size_of(weights, f"{UNET}input_blocks.0.0.weight", 1),
        "out_channels": size_of(weights, f"{UNET}out.2.weight"),
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attended)],
        "cross_attention_dim": size_of(weights, context, 1),
        "attention_head_dim": [_heads(c, family, said) for c in channels],  # diffusers' name for the number of heads
        "use_linear_projection": weights[f"{UNET}middle_block.1.proj_in.weight"].ndim == 2,
    }
    with init_empty_weights():
        model = UNet2DConditionModel.from_config(config)
    return filled(model, weights, lambda part: convert_ldm_unet_checkpoint(part, config))


def _heads(channels: int, family: Family, said: Mapping[str, Any]) -> int:
    if "head_width" in said:
        heads, rest = divmod(channels, said["head_width"])
    else:
        heads = said.get("heads") or family.heads(channels)
        rest = channels % heads
    if rest:
        raise InputError(f"its U-Net's {channels} channels are no multiple of the declared attention heads")
    return heads


def _vae(weights: Weights, said: Mapping[str, Any]) -> AutoencoderKL:
    levels = range(count_blocks(weights, f"{VAE}encoder.down."))
    config = {
        "in_channels": size_of(weights, f"{VAE}encoder.conv_in.weight", 1),
        "out_channels": size_of(weights, f"{VAE}decoder.conv_out.weight"),
        "latent_channels": size_of(weights, f"{VAE}post_quant_conv.weight"),
        "block_out_channels": [size_of(weights, f"{VAE}encoder.down.{level}.block.0.conv1.weight") for level in levels],
        "layers_per_block": count_blocks(weights, f"{VAE}encoder.down.0.block."),
        "down_block_types": ["DownEncoderBlock2D" for _ in levels],
        "up_block_types": ["UpDecoderBlock2D" for _ in levels],
        "scaling_factor": said.get("scaling_factor", SCALING_FACTOR),
    }
    with init_empty_weights():
        model = AutoencoderKL.from_config(config)
    return filled(model, weights, lambda part: convert_ldm_vae_checkpoint(part, config))


def _layers_taken(family: Family, layers: int, width: int, said: Mapping[str, Any], whole_tower: bool) -> int:
    """How many of the text encoder's layers in a file make the U-Net's context, behind which the last norm stands.

    CLIP: all, or without the last ones that the file's metadata skips. OpenCLIP: all but the last of the whole tower,
    unless the configuration says "last"; exporters leave the unused layer out, and often text_projection with it.
    """
    skipped = said.get("skip", 1) - 1
    if family is SD1:
        if said.get("layer") == "penultimate" or skipped >= layers:
            raise InputError("the declared hidden state of its text encoder is not known of CLIP")
        return layers - skipped
    if skipped:
        raise InputError("a hidden state is declared (clip skip), which is ambiguous for Stable Diffusion 2.x")
    if width == VIT_H[0]:
        if layers not in (VIT_H[1], VIT_H[1] - 1):
            raise InputError(f"its text encoder has {layers} layers, of which Stable Diffusion 2 has 24 and takes 23")
        whole_tower = layers == VIT_H[1]
    elif not whole_tower:
        raise InputError(
            f"weight {TEXT_PROJECTION} is missing, without which nothing says whether its last layer is used"
        )
    if said.get("layer") != "last":
        return layers - 1 if whole_tower else layers
    if not whole_tower:
        raise InputError("the last layer of its text encoder is declared to be used, and is missing")
    return layers


def _text_encoder(weights: Weights, family: Family, said: Mapping[str, Any], whole_tower: bool) -> CLIPTextModel:
    prefix, found = family.text, count_blocks(weights, family.text + family.layers)
    vocabulary, width = (size_of(weights, prefix + family.tokens, axis) for axis in (0, 1))
    layers = _layers_taken(family, found, width, said, whole_tower)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=size_of(weights, f"{prefix}{family.layers}0.{family.inner}"),
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=size_of(weights, prefix + family.positions),
        hidden_act=family.activation,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    with init_empty_weights():
        model = CLIPTextModel(config)

    def renamed(part: Weights) -> Weights:
        if family is SD2:
            converted = convert_open_clip_checkpoint(model, part, prefix=prefix)
        else:
            converted = convert_ldm_clip_checkpoint(part)
        # since transformers 5 CLIPTextModel's names lack this prefix, which the converters write
        return {name.removeprefix("text_model."): weight for name, weight in converted.items()}

    unused = tuple(f"{prefix}{family.layers}{layer}." for layer in range(layers, found))
    return filled(model, {name: weight for name, weight in weights.items() if not name.startswith(unused)}, renamed)


def build_tokenizer(networks: Networks) -> CLIPTokenizer:
    """CLIP's tokenizer, as Stable Diffusion uses it; raises InputError if the text encoder has another vocabulary."""
    merges = [tuple(line.split()) for line in MERGES.read_text(encoding="utf-8").splitlines()[1:]]
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(left + right for left, right in merges)]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    config = networks.text_encoder.config
    if config.vocab_size != len(vocabulary):
        raise InputError(f"its text encoder knows {config.vocab_size} tokens, CLIP's vocabulary has {len(vocabulary)}")
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        pad_token=networks.family.pad_token,
        model_max_length=config.max_position_embeddings,
    )
