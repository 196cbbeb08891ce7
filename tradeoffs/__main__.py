"""The command `tradeoffs`, or `python -m tradeoffs`: what the package can do without a run of the workflow."""

import argparse
import sys
from pathlib import Path

import yaml

from tradeoffs.config.faults import describe
from tradeoffs.config.layers import resolve
from tradeoffs.errors import InputError

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
    from tradeoffs.commands.models import load_model, own_resolution  # here: loads torch

    source = arguments.source
    model = load_model(source, arguments.prediction_type)
    lines = [f"{source}: a latent diffusion model that can be fine-tuned"]
    for name, network in model.networks.items():
        parameters = sum(weight.numel() for weight in network.parameters())
        lines.append(f"  {name}: {type(network).__name__}, {parameters:,} parameters")
    lines.append(
        f"  texts of at most {model.tokenizer.model_max_length} tokens, width {model.unet.config.cross_attention_dim}"
    )
    predicted = model.schedule.config.prediction_type
    lines.append(f"  made for images of {own_resolution(model)} px; its U-Net predicts {predicted}")
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


def debug(arguments: argparse.Namespace) -> str:
    """Where the files are that a finished job's script wrote when it ran once more."""
    from tradeoffs.provenance import again

    return "\n".join(again.debug(arguments.file, arguments.folder, arguments.gpus))


def heat_map(arguments: argparse.Namespace) -> str:
    """Where a model attends to the words of a text on an image."""
    from tradeoffs.commands.run import run_heat_map

    return run_heat_map(arguments)


def generate(arguments: argparse.Namespace) -> str:
    """Images of a text, and where the model attended to its words meanwhile."""
    from tradeoffs.commands.run import run_generate

    return run_generate(arguments)


def fidelity(arguments: argparse.Namespace) -> str:
    """The fidelity of some images against others."""
    from tradeoffs.commands.images import run_fidelity

    return run_fidelity(arguments)


def classify(arguments: argparse.Namespace) -> str:
    """What an X-ray network says of images."""
    from tradeoffs.commands.images import run_classify

    return run_classify(arguments)


def compare(arguments: argparse.Namespace) -> str:
    """What differs between two finished runs."""
    from tradeoffs.commands import compare as comparing
    from tradeoffs.commands.comparison_text import to_markdown, write_comparison

    found = comparing.compare(arguments.a, arguments.b)
    page = to_markdown(found, arguments.a, arguments.b, arguments.protocol)
    if arguments.out:
        write_comparison(found, Path(arguments.out), page)
    return page


def box(text: str) -> tuple[float, ...]:
    """The numbers of x,y,w,h."""
    values = tuple(map(float, text.split(",")))
    if len(values) != 4:
        raise ValueError
    return values


def several(text: str) -> int:
    """A whole number of at least 2."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} is no whole number of at least 2")
    return int(text)


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
    of_config.add_argument("--file", default="config/config.yaml", help="your file (default: config/config.yaml)")
    command("keys", show_keys, "print every key of the configuration with its values, default and meaning")
    of_model = command("check-model", check_model, "load all weights of a base model and say what it is")
    of_model.add_argument("source", help="a diffusers folder, or a single .ckpt or .safetensors file")
    of_model.add_argument(
        "--prediction-type",
        choices=["epsilon", "v_prediction"],
        help="what the U-Net predicts, for a single file that does not say (base.prediction_type)",
    )
    of_maps = command("check-maps", check_maps, "read another method's heat maps as a run would")
    of_maps.add_argument("file", help="the .npz file, see docs/data.md")
    of_maps.add_argument("--grounding", help="the run's grounding.csv, to compare the file's ids with")
    again = command(
        "debug", debug, "run the script that made a file in results/ again; with python -m pdb -m, debug it"
    )
    again.add_argument("file", help="a result of a finished job, such as results/table1.csv")
    again.add_argument("--folder", default="debug", help="where its files go (default: debug); results/ stays as it is")
    again.add_argument("--gpus", type=int, default=0, help="GPUs that it may use (default: 0)")

    of_heat_map = command("heatmap", heat_map, "show where a model attends to the words of a text on an image")
    _of_model_and_text(of_heat_map, steps=50)
    of_heat_map.add_argument("--image", required=True, help="the image file")
    of_heat_map.add_argument("--box", type=box, help="x,y,w,h in the image file's pixels: score the map against it")
    of_heat_map.add_argument("--grounding", help="with a box: a grounding.csv, for the location prior")
    of_heat_map.add_argument("--category", help="with --grounding: the finding (default: the one the words ask for)")
    of_heat_map.add_argument("--exchange", help="with a box: a word to put in place of the words and score too")
    of_heat_map.add_argument("--keep", type=int, default=40, help="number of last steps to average (default: 40)")
    of_images = command("generate", generate, "draw images from a text, and show where the model attended meanwhile")
    _of_model_and_text(of_images, steps=75)
    of_images.add_argument("-n", type=int, default=4, help="number of images (default: 4)")
    of_images.add_argument("--guidance", type=float, default=4.0, help="classifier-free guidance scale (default: 4)")
    of_images.add_argument(
        "--scheduler", choices=["plms", "ddim", "dpm"], default="plms", help="sampler (default: plms)"
    )
    of_fidelity = command("fidelity", fidelity, "score images against others: FID, KID, precision and the like")
    of_fidelity.add_argument("source", help="the images to score: a folder, or a CSV with path, prompt, Finding Labels")
    of_fidelity.add_argument("target", help="the real images, likewise")
    of_fidelity.add_argument(
        "--kid-subset", type=several, default=1000, help="images in each subset of KID (default: 1000)"
    )
    of_fidelity.add_argument("--inception", help="StyleGAN's inception-2015-12-05.pt, for published FIDs")
    of_fidelity.add_argument("--dinov2", help="folder of a Dinov2Model, to add distances with its features")
    _of_image_sets(of_fidelity, out="fidelity.csv")
    of_labels = command("classify", classify, "let an X-ray network name the findings in images")
    of_labels.add_argument(
        "images", help="a folder (labels: names of the images' own folders), or a CSV as for fidelity"
    )
    _of_image_sets(of_labels, out="classification.csv")
    of_runs = command("compare", compare, "show what differs between two finished runs: scores, configuration, code")
    of_runs.add_argument("a", help="a run's folder, results/<run>, or a results folder that holds a single run")
    of_runs.add_argument("b", help="another run's; differences are b - a")
    of_runs.add_argument(
        "--protocol", choices=["corrected", "published"], default="corrected", help="scores shown (default: corrected)"
    )
    of_runs.add_argument("--out", help="a folder to write the page and all rows (CSV) to")
    return whole


def _of_model_and_text(command: argparse.ArgumentParser, steps: int) -> None:
    command.add_argument("--model", required=True, help="a diffusers folder, or a single .ckpt or .safetensors file")
    command.add_argument("--text", required=True, help="the sentence")
    command.add_argument("--words", nargs="+", default=[], help="words of the sentence (default: all of it)")
    command.add_argument("--out", required=True, help="the folder to write to")
    command.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    command.add_argument("--steps", type=int, default=steps, help=f"time steps (default: {steps})")
    command.add_argument("--resolution", type=int, help="side of the image in pixels (default: the model's own)")
    command.add_argument(
        "--precision", choices=["fp32", "fp16", "bf16"], default="fp32", help="precision of autocast (default: fp32)"
    )


def _of_image_sets(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("--classifier", help="folder of a findings classifier, such as resources/demo_base/classifier")
    command.add_argument("--xrv", help="weights of torchxrayvision's densenet121-res224-all, in place of --classifier")
    command.add_argument("--resolution", type=several, default=512, help="side of the images in pixels (default: 512)")
    command.add_argument("--batch-size", type=several, default=32, help="images per pass (default: 32)")
    command.add_argument("--out", default=out, help=f"the CSV to write (default: {out})")


def main(words: list[str] | None = None) -> None:
    """Runs the command line `words` (None: of this process); an InputError is one line and exit code 1."""
    arguments = parser().parse_args(words)
    try:
        print(arguments.function(arguments))
    except InputError as error:
        sys.exit(f"tradeoffs: {error}")


if __name__ == "__main__":
    main()
