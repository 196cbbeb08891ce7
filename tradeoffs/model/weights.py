"""Strict loading: every weight of a folder is used and every weight of the network is in the folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
import transformers
from safetensors import SafetensorError, safe_open

from tradeoffs.errors import InputError
from tradeoffs.model.pickles import allowed


def load_strictly(model_class, folder: str | Path, extras: Sequence[str] = (), **options) -> torch.nn.Module:
    """A network of diffusers or transformers from its folder, float32 on the CPU, in evaluation mode.

    extras: beginnings of the names of weights that the folder may hold besides, which are left out
    options: for the class's `from_pretrained`
    Raises InputError if a weight is missing, unexpected or of another shape (docs/differences.md, row 19: the original
    loads with `strict=False`, so a wrong checkpoint runs).
    """
    options["variant"] = variant_of(Path(folder))
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # its report of unexpected weights; they are judged here
    try:
        with allowed():
            model, info = model_class.from_pretrained(
                folder, output_loading_info=True, torch_dtype=torch.float32, local_files_only=True, **options
            )
    except (RuntimeError, ValueError, OSError, UnpicklingError) as error:  # pickles that would run code are not read
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: cannot be read as {model_class.__name__} ({reason}); give the folder of that network, best "
            "with its weights as .safetensors"
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    # position_ids are a constant that older transformers saved
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    unexpected = [
        key
        for key in info["unexpected_keys"]
        if not key.endswith("position_ids") and not key.removeprefix(prefix).startswith(tuple(extras))
    ]
    wrong = sorted(info["missing_keys"]) + sorted(unexpected) + sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise InputError(
            f"{folder}: weights do not fit {model_class.__name__} ({len(wrong)} missing, unexpected or of another "
            f"shape, such as {wrong[0]}); it is another model's"
        )
    return model.eval()


def variant_of(folder: Path) -> str | None:
    """Which of the files of weights in a part's folder is read: None for plain names, else such as "fp16".

    Raises InputError if there are none, or only of variants that are no halves.
    """
    stems, shards = "(?:diffusion_pytorch_|pytorch_)?model", r"(?:-\d+-of-\d+)?"
    names = re.compile(rf"{stems}(?:\.(\w+))?{shards}\.(?:safetensors|bin)")
    files = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".msgpack", ".h5"))
    variants = {match[1] for name in files if (match := names.fullmatch(name))}
    if None in variants:
        return None
    for variant in ("fp16", "bf16"):
        if variant in variants:
            return variant
    found = f"only {', '.join(files)}" if files else "no file of weights"
    raise InputError(
        f"{folder}: holds {found}; give it the model's weights as model.safetensors, "
        "diffusion_pytorch_model.safetensors or .bin"
    )


def check_headers(folder: str | Path) -> None:
    """Raises InputError for weights in the parts of a diffusers folder that are cut short or damaged; only the headers
    of .safetensors files are read."""
    for file in sorted(Path(folder).glob("*/*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file}: is cut short or no file of weights ({error}); download it again") from error
