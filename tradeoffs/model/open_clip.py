"""The BERT in an OpenCLIP model such as BiomedCLIP, whose file transformers cannot read."""

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from tradeoffs.errors import InputError
from tradeoffs.model.pickles import read_pickle

CONFIG = "open_clip_config.json"  # tells an OpenCLIP folder
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TEXT = "text.transformer."
OTHERS = ("visual.", "text.proj.", "logit_scale", "logit_bias", f"{TEXT}pooler.", f"{TEXT}embeddings.position_ids")
HEAD_WIDTH = 64  # of every published BERT


def load_bert(folder: str | Path) -> BertModel:
    """The BERT in an OpenCLIP folder, float32 on the CPU, in evaluation mode; its sizes are those of its weights.

    Raises InputError if a weight is missing, unknown or of another shape, or the text encoder is no BERT.
    """
    file = next((path for name in WEIGHTS if (path := Path(folder, name)).is_file()), None)
    if file is None:
        raise InputError(f"{folder}: has none of {', '.join(WEIGHTS)}; download the model's weights again")
    try:
        weights = load_file(file) if file.suffix == ".safetensors" else read_pickle(file)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file}: cannot be read ({' '.join(str(error).split())}); download the model's weights again"
        ) from error
    text = {name.removeprefix(TEXT): weight for name, weight in weights.items() if not name.startswith(OTHERS)}
    if not any(name.startswith(f"{TEXT}embeddings.") for name in weights):
        raise InputError(
            f"{file}: its text encoder is OpenCLIP's own, of whose files only those with a BERT are read; give the "
            "model in transformers' layout, with a config.json"
        )
    layers = {int(match[1]) for name in text if (match := re.match(r"encoder\.layer\.(\d+)\.", name))}
    try:
        vocabulary, width = text["embeddings.word_embeddings.weight"].shape
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=len(layers),
            num_attention_heads=max(1, width // HEAD_WIDTH),
            intermediate_size=len(text["encoder.layer.0.intermediate.dense.weight"]),
            max_position_embeddings=len(text["embeddings.position_embeddings.weight"]),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        network = BertModel(config, add_pooling_layer=False)
        network.load_state_dict(text)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{file}: its text encoder cannot be read as a BERT ({' '.join(str(error).split())})"
        ) from error
    return network.float().eval()
