"""Text encoders of several families: which there are, and reading them strictly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import transformers
from accelerate import init_empty_weights
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tradeoffs.errors import InputError
from tradeoffs.model import open_clip
from tradeoffs.model.declared import read_json
from tradeoffs.model.weights import load_strictly, naming


@dataclass(frozen=True)
class Family:
    """A family of text encoders.

    network, tokenizer: names of transformers' classes; the tokenizer's is for folders without a tokenizer.json
    pad_token: where the tokenizer's files name none
    config: changes to the network's configuration: no dropout, so that training stays a function of (seed, step)
    adapted: names of the attention's query and value layers, to which LoRA adds its adapters
    heads: beginnings of the names of weights beside the encoder's, which serve other tasks and are left out
    options: of the network's class
    positions_after_padding: whether positions count from the padding token's id on, as in RoBERTa
    """

    network: str
    tokenizer: str
    pad_token: str
    config: Mapping[str, float]
    adapted: Sequence[str]
    heads: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    positions_after_padding: bool = False


_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_NO_POOLER = {"add_pooling_layer": False}
_CLIP = Family(
    network="CLIPTextModel",
    tokenizer="CLIPTokenizer",
    pad_token="<|endoftext|>",
    config={"attention_dropout": 0.0},
    adapted=("q_proj", "v_proj"),
    heads=("vision_model.", "visual_projection.", "text_projection.", "logit_scale"),
)
_BERT = Family(
    network="BertModel",
    tokenizer="BertTokenizer",
    pad_token="[PAD]",
    config=_NO_DROPOUT,
    adapted=("query", "value"),
    heads=("pooler.", "cls.", "cls_projection_head."),
    options=_NO_POOLER,
)
_ROBERTA = Family(
    network="RobertaModel",
    tokenizer="RobertaTokenizer",
    pad_token="<pad>",
    config=_NO_DROPOUT,
    adapted=("query", "value"),
    heads=("pooler.", "lm_head."),
    options=_NO_POOLER,
    positions_after_padding=True,
)
FAMILIES = {  # by model_type in config.json
    "clip_text_model": _CLIP,
    "clip": _CLIP,  # with its image encoder
    "bert": _BERT,
    "cxr-bert": _BERT,  # a BERT with a projection head
    "roberta": _ROBERTA,
    "distilbert": Family(
        network="DistilBertModel",
        tokenizer="DistilBertTokenizer",
        pad_token="[PAD]",
        config={"dropout": 0.0, "attention_dropout": 0.0},
        adapted=("q_lin", "v_lin"),
        heads=("vocab_transform.", "vocab_layer_norm.", "vocab_projector."),
    ),
    "mpnet": replace(_ROBERTA, network="MPNetModel", tokenizer="MPNetTokenizer", adapted=("q", "v")),
    "t5": Family(
        network="T5EncoderModel",
        tokenizer="T5Tokenizer",
        pad_token="<pad>",
        config={"dropout_rate": 0.0},
        adapted=("q", "v"),
        heads=("decoder.", "lm_head."),
    ),
}


def load_network(folder: str | Path) -> PreTrainedModel:
    """The text encoder in a folder of transformers' layout, strictly; code that the folder may hold is not run."""
    family, network, config = _configured(Path(folder))
    return load_strictly(network, folder, family.heads, config=config, **family.options)


def build_network(folder: Path) -> PreTrainedModel:
    """The text encoder that a folder's configuration describes, without its weights."""
    family, network, config = _configured(folder)
    with naming(folder, family.network), init_empty_weights():
        return network(config, **family.options)


def _configured(folder: Path) -> tuple[Family, type[PreTrainedModel], PretrainedConfig]:
    family, config = described(folder)
    network = getattr(transformers, family.network)
    with naming(folder, family.network):
        return family, network, network.config_class.from_dict({**config, **family.config})


def load_encoder(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A text encoder and its tokenizer from one folder, as it is published.

    The tokenizer's `model_max_length` is the longest text in tokens that the encoder takes.
    Raises InputError for another family, for weights or tokens that do not fit, and for a tokenizer that does not know
    where in the text its tokens stand.
    """
    folder = Path(folder)
    network = open_clip.load_bert(folder) if _is_open_clip(folder) else load_network(folder)
    tokenizer = _load_tokenizer(folder, FAMILIES[network.config.model_type])
    fit_tokenizer(folder, network, tokenizer)
    return network, tokenizer


def _is_open_clip(folder: Path) -> bool:
    """Whether OpenCLIP's files describe the encoder and transformers' do not; many repositories hold both."""
    if not (folder / open_clip.CONFIG).is_file():
        return False
    file = folder / "config.json"
    return not (file.is_file() and read_json(file).get("model_type") in FAMILIES)


def fit_tokenizer(folder: Path, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Limits the tokenizer's `model_max_length` to the longest text that the network takes.

    Raises InputError if the tokenizer has tokens that the network does not know.
    """
    if tokenizer.pad_token is None or tokenizer.truncation_side != "right":
        key, value = ("pad_token", None) if tokenizer.pad_token is None else ("truncation_side", "left")
        raise InputError(
            f"{folder}: {key} of its tokenizer is {value!r}, but texts are padded and are cut at their end; correct "
            "its tokenizer_config.json"
        )
    if len(tokenizer) > network.config.vocab_size:
        raise InputError(
            f"{folder}: its tokenizer has {len(tokenizer)} tokens, its text encoder knows {network.config.vocab_size}; "
            "they are of different models"
        )
    positions = getattr(network.config, "max_position_embeddings", None)  # T5 has relative ones, without an end
    if positions is not None:
        if FAMILIES[network.config.model_type].positions_after_padding:
            positions -= network.config.pad_token_id + 1
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)


def described(folder: Path) -> tuple[Family, dict[str, Any]]:
    """The family of the folder's text encoder, and its configuration; raises InputError for one that is unknown."""
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{folder}: no config.json; a text encoder must be a folder in transformers' layout")
    config = read_json(file)
    if config.get("quantization_config"):
        raise InputError(
            f"{file}: quantization_config is given, so its weights are quantised; give the model as it was"
        )
    if config.get("clip_skip") is not None:
        raise InputError(
            f"{file}: clip_skip is {config['clip_skip']!r}, but num_hidden_layers says which layers are used; take the "
            "last ones away from the model, or remove the key"
        )
    kind = config.pop("model_type", None)
    config.pop("auto_map", None)  # names code of the folder's, and would be saved
    if kind not in FAMILIES:
        raise InputError(f"{folder}: a text encoder of the kind {kind!r} is unknown; known: {', '.join(FAMILIES)}")
    of_text = (config.get("text_config") or {}) | (
        config.get("text_config_dict") or {}
    )  # older files: the second counts
    return FAMILIES[kind], of_text or config


def _load_tokenizer(folder: Path, family: Family) -> PreTrainedTokenizerFast:
    # tokenizer.json holds all that a tokenizer does; its class would build it anew from the vocabulary alone
    name = "PreTrainedTokenizerFast" if (folder / "tokenizer.json").is_file() else family.tokenizer
    try:
        tokenizer = getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers' errors have no class of their own
        raise InputError(
            f"{folder}: no tokenizer can be read ({error}); add the model's tokenizer.json or vocabulary files"
        ) from error
    if not tokenizer.is_fast:
        raise InputError(
            f"{folder}: its tokenizer does not tell where tokens stand in the text, which heat maps need; add a "
            "tokenizer.json"
        )
    tokenizer.init_kwargs.pop("auto_map", None)  # names code of the folder's, and would be saved
    if tokenizer.pad_token is None:
        tokenizer.pad_token = family.pad_token
    return tokenizer
