"""Strict loading: every weight of a folder is used and every weight of the network is in the folder."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
        with allowed(), naming(folder, model_class.__name__):
            model, info = model_class.from_pretrained(
                folder, output_loading_info=True, torch_dtype=torch.float32, local_files_only=True, **options
            )
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


@contextmanager
def naming(folder: str | Path, network: str) -> Iterator[None]:
    """Makes one line of what goes wrong while a network is built and read, such as a pickle that would run code.

    Values of a configuration reach any line of the libraries, so their errors are of any class.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{folder}: its config.json and weights cannot be read as {network} ({reason}); give the folder of that "
            "network, best with its weights as .safetensors"
        ) from error


def check_shapes(folder: Path, network: torch.nn.Module) -> None:
    """Raises InputError for a .safetensors file in a network's folder that is cut short or damaged, or that holds a
    weight of another shape than the network built from the folder's configuration. Only headers are read.

    network: without weights (accelerate's init_empty_weights)
    """
    expected = {name: list(weight.shape) for name, weight in network.state_dict().items()}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as stored:
                found = {name: stored.get_slice(name).get_shape() for name in expected.keys() & set(stored.keys())}
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file}: is cut short or no file of weights ({error}); download it again") from error
        for name in sorted(found):
            if found[name] != expected[name]:
                raise InputError(
                    f"{file}: {name} fills {found[name]}, but config.json declares {expected[name]}; they are of "
                    "different models"
                )
