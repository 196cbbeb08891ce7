"""The command `tradeoffs`, or `python -m tradeoffs`: what the package can do without a run of the workflow."""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from tradeoffs.config.faults import describe
from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import base_kind
from tradeoffs.errors import InputError
from tradeoffs.evaluation import image_commands

PRESETS = Path(__file__).resolve().parent.parent / "config" / "presets"  # of the clone that is installed
DESCRIPTION = "What the package of this study can do without a run of the workflow."
EPILOG = "The study itself is a Snakemake workflow: `snakemake --list` in a clone says what it can make."


def show_config(arguments: argparse.Namespace) -> str:
    """The whole configuration that a run would have, as YAML."""
    file = Path(arguments.file)
    user = (yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}
    if arguments.preset:
        user["preset"] = arguments.preset
    return yaml.safe_dump(resolve(user, PRESETS).dump(), sort_keys=False)


def show_keys(arguments: argparse.Namespace) -> str:
    """Every key of the configuration with its values, default and meaning."""
    return describe()


def check_model(arguments: argparse.Namespace) -> str:
    """What a base model is, after every weight was loaded."""
    from tradeoffs.model.checkpoints import load  # here: loads torch
    from tradeoffs.model.sources import materialise_base

    source = arguments.source
    kind = base_kind(source)
    if kind == "hub":
        raise InputError(f"{source}: there is no such folder or file, and a hub id is not downloaded; give its folder")
    with tempfile.TemporaryDirectory() as folder:
        if kind == "file":
            materialise_base(kind, source, None, Path(folder), arguments.prediction_type)
        model = load(folder if kind == "file" else source)
    side = model.unet.config.sample_size * 2 ** (len(model.vae.config.block_out_channels) - 1)
    lines = [f"{source}: a latent diffusion model that can be fine-tuned ({kind})"]
    for name, network in model.networks.items():
        parameters = sum(weight.numel() for weight in network.parameters())
        lines.append(f"  {name}: {type(network).__name__}, {parameters:,} parameters")
    lines.append(
        f"  texts of at most {model.tokenizer.model_max_length} tokens, width {model.unet.config.cross_attention_dim}"
    )
    lines.append(f"  made for images of {side} px; its U-Net predicts {model.schedule.config.prediction_type}")
    return "\n".join(lines)


def check_maps(arguments: argparse.Namespace) -> str:
    """What a file with heat maps of another method holds, after it was read as a run would read it."""
    from tradeoffs.data.tables import read_grounding
    from tradeoffs.evaluation.external import read_external

    grounding = read_grounding(arguments.grounding) if arguments.grounding else None
    external = read_external(arguments.file, grounding)
    shape = " x ".join(map(str, next(iter(external.maps.values())).shape))
    known = "all of the grounding table" if arguments.grounding else "ids not compared, no grounding table was given"
    return (
        f"{arguments.file}: {len(external.maps)} heat maps of {shape} pixels ({external.method or 'no name'}); {known}"
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser("tradeoffs", description=DESCRIPTION, epilog=EPILOG)
    commands = whole.add_subparsers(title="commands", required=True)

    def command(name: str, function, explanation: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}.")
        one.set_defaults(function=function)
        return one

    of_config = command("config", show_config, "print the configuration that a run would have")
    of_config.add_argument("--preset", help="the preset to start from, in place of the one that the file names")
    of_config.add_argument("--file", default="config/config.yaml", help="your settings (default: config/config.yaml)")
    command("keys", show_keys, "print every key of the configuration with its values, default and meaning")
    of_model = command("check-model", check_model, "load a base model, every weight of it, and say what it is")
    of_model.add_argument("source", help="a diffusers folder, or a single .ckpt or .safetensors file")
    of_model.add_argument(
        "--prediction-type",
        choices=["epsilon", "v_prediction"],
        help="what the U-Net of a single file predicts that does not say it (base.prediction_type)",
    )
    of_maps = command("check-maps", check_maps, "read another method's heat maps as a run would")
    of_maps.add_argument("file", help="the .npz file, see docs/data.md")
    of_maps.add_argument("--grounding", help="the run's grounding.csv, with whose ids the file's are compared")
    image_commands.add_to(command)
    return whole


def main(words: list[str] | None = None) -> None:
    """Runs the command line `words` (None: of this process); an InputError is one line and exit code 1."""
    arguments = parser().parse_args(words)
    try:
        print(arguments.function(arguments))
    except InputError as error:
        sys.exit(f"tradeoffs: {error}")


if __name__ == "__main__":
    main()
