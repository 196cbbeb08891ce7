"""What the documents name is there: config keys, settings, commands, files, tests.

All pages are looked through together, so that a pattern that finds nothing fails.
"""

import re
import shlex
import tomllib
from pathlib import Path

import yaml
from snakemake import cli

from tradeoffs.config.faults import describe, fields_of
from tradeoffs.config.layers import resolve
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.data import SEEN_PHANTOMS
from tradeoffs.config.sections.model import Variant
from tradeoffs.jobs.limits import ONLOOKERS

PROJECT = Path(__file__).resolve().parents[1]
PAGES = {
    str(page.relative_to(PROJECT)): page.read_text()
    for pattern in ("*.md", "docs/*.md", "config/*.md", "benchmarks/*.md", "resources/**/*.md", "results/*.md")
    for page in sorted(PROJECT.glob(pattern))
}
RULES = "".join(path.read_text() for path in [PROJECT / "Snakefile", *sorted(PROJECT.glob("rules/**/*.smk"))])


def found(pattern: str) -> list[tuple[str, str]]:
    """Page and text of each match on all pages; of the pattern's group where it has one."""
    return [(page, match) for page, text in PAGES.items() for match in re.findall(pattern, text, re.M | re.S)]


def blocks(language: str) -> list[tuple[str, str]]:
    return found(rf"^ *```{language}\n(.*?)```")


def inline() -> list[tuple[str, str]]:
    """What stands in backticks outside of blocks."""
    prose = {page: re.sub(r"^ *```.*?```", "", text, flags=re.M | re.S) for page, text in PAGES.items()}
    return [(page, code) for page, text in prose.items() for code in re.findall(r"`([^`\n]+)`", text)]


def commands(*first: str) -> list[tuple[str, list[str]]]:
    """Commands in blocks and in the text that begin with these words, and their other words."""
    lines = [(page, line) for page, block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    typed = [(page, command) for page, line in lines for command in line.split(" && ")] + inline()
    start = re.compile(rf" *{' '.join(first)} ")
    words = [(page, shlex.split(command, comments=True)) for page, command in typed if start.match(command)]
    return [(page, some[len(first) :]) for page, some in words]


def setting(code: str) -> dict | None:
    """The configuration that a text in backticks is, such as `data: {sets: [cxr]}`, or None.

    A name that is no section of the configuration, with settings of a variant, is one.
    """
    if not re.fullmatch(r"[a-z_]+: \S.*", code):
        return None
    value = yaml.safe_load(code)
    [(name, content)] = value.items()
    if name in Config.model_fields:
        return value
    return {"variants": value} if isinstance(content, dict) and set(content) <= set(fields_of(Variant)) else None


def test_every_config_key_that_a_document_names_exists():
    keys = re.findall(r"^\| `([^`]+)`", describe(), re.M)
    sections = "|".join(Config.model_fields)
    named = [(page, code) for page, code in inline() if re.fullmatch(rf"(?:{sections})(?:\.[\w<>]+)+", code)]
    assert len(named) > 100
    known = {"training.json", "grounding.csv", *keys}
    assert not [(page, name) for page, name in named if not any(f"{key}.".startswith(f"{name}.") for key in known)]


def test_every_setting_that_a_document_shows_is_valid():
    shown = [(page, yaml.safe_load(block)) for page, block in blocks("yaml")]
    shown += [(page, value) for page, code in inline() if (value := setting(code)) is not None]
    assert len(shown) > 20
    for _, value in shown:
        resolve({"preset": "paper", "training": {"ema_decay": 0.9}} | value, PROJECT / "config/presets")


def test_every_snakemake_command_that_a_document_shows_is_understood():
    shown = commands("snakemake")
    assert len(shown) > 30
    rules = set(re.findall(r"^ *(?:rule|use rule \w+ as) (\w+)", RULES, re.M))
    parser = cli.get_argument_parser()  # ends the test at an argument that it does not know
    for page, words in shown:
        arguments = parser.parse_args(words)
        for target in [*arguments.targets, *(arguments.forcerun or [])]:
            known = target in rules or (target.startswith("results/") and Path(target).stem in RULES)
            assert known, f"{page}: snakemake {' '.join(words)}: no target {target}"
        for profile in arguments.profile or []:
            assert (PROJECT / profile / "config.yaml").exists(), f"{page}: no profile {profile}"
        given = [entry.split("=", 1) for entry in arguments.config or []]
        resolve({key: yaml.safe_load(value) for key, value in given}, PROJECT / "config/presets")


def test_every_test_and_benchmark_that_a_document_runs_exists():
    markers = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    chosen = [
        (page, words[words.index("-m") + 1]) for page, words in commands("python", "-m", "pytest") if "-m" in words
    ]
    assert chosen and {marker for _, marker in chosen} <= {marker.split(":")[0] for marker in markers}
    parts = [part for _, words in commands("python", "-m", "benchmarks") for part in words]
    assert parts and all((PROJECT / "benchmarks" / f"{part}.py").exists() for part in parts)


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((PROJECT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (.+)$", (PROJECT / "CHANGELOG.md").read_text(), re.M).group(1) == version


def test_every_page_and_place_that_a_document_links_to_is_there():
    links = found(r"\]\(([^):]+)\)")
    assert len(links) > 40
    for page, link in links:
        file, _, anchor = link.partition("#")
        target = (PROJECT / page).parent / file if file else PROJECT / page
        assert target.exists(), f"{page}: {link}"
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{page}: {link}"


def test_every_file_of_the_project_that_a_document_names_is_there():
    folders = "benchmarks|config|docs|envs|profiles|report|resources|rules|slurm|tests|tradeoffs|workflow_scripts"
    paths = found(rf"(?<![\w/.])((?:{folders})/[\w./-]*\w)")
    assert len(paths) > 100
    assert not [(page, path) for page, path in paths if not (PROJECT / path).exists()]


def test_every_test_that_a_document_names_is_in_the_file_that_it_names():
    named = found(r"((?:`test_\w+`(?:, )?)+ \(tests/\w+\.py\))")
    assert len(named) > 2
    for page, text in named:
        file = re.search(r"tests/\w+\.py", text).group()
        code = (PROJECT / file).read_text()
        assert not [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in code], f"{page}: {file}"
    assert len(found(r"`test_\w+`")) == sum(text.count("`test_") for _, text in named)


def test_the_demos_preset_makes_the_base_that_ships():
    card = (PROJECT / "resources/demo_base/README.md").read_text()
    making = yaml.safe_load(re.search(r"## Settings\n\n```\n(.*?)```", card, re.S).group(1))
    fine_tuning = making.pop("fine-tuning of candidates")
    assert making == yaml.safe_load((PROJECT / "rules/upkeep/demo_base.yaml").read_text())
    settings = resolve({"preset": "demo"}, PROJECT / "config/presets").training_of("cxr")
    assert fine_tuning == {key: value for key, value in settings.items() if key not in ONLOOKERS}
    assert {making["selection"]["seed"], making["classifier"]["seed"]} == set(SEEN_PHANTOMS)
