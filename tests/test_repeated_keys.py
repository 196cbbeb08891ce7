"""Keys that a configuration gives twice."""

import re

import pytest
from configs import PRESETS

from tradeoffs.config.repeated_keys import check_repeated_keys
from tradeoffs.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: demo\nseeds: [0]\nseeds: [1]\n", "x.yaml, line 3: seeds is given in line 2 too; keep one of them"),
        ("training:\n  steps: 1\n  steps: 2\n", "x.yaml, line 3: training.steps is given in line 2 too; keep one"),
        ("training: {steps: 1}\ntraining: {batch_size: 2}\n", "x.yaml, line 2: training is given in line 1 too"),
        ("variants:\n  a: {text: sentences}\n  b: {}\n  a: {}\n", "x.yaml, line 4: variants.a is given in line 2 too"),
        ('{"seeds": [0],\n"seeds": [1]}', "x.yaml, line 2: seeds is given in line 1 too"),
    ],
)
def test_a_key_given_twice_in_a_file_is_an_error(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(message)}"):
        check_repeated_keys([tmp_path / "x.yaml"], [])


@pytest.mark.parametrize(
    ("entries", "key"),
    [
        (["training={steps: 1, steps: 2}"], "training.steps"),
        (["seeds=[0]", "preset=smoke", "seeds=[1]"], "seeds"),
        (["training={steps: 1}", "training={steps: 2}"], "training.steps"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "-C"])
def test_a_key_given_twice_on_the_command_line_is_an_error(entries, key, option):
    with pytest.raises(InputError, match=f"^--config: {key} is given twice; keep one of them$"):
        check_repeated_keys([], ["-n", option, *entries, "--", "all"])


@pytest.mark.parametrize(
    "words", [["--config=seeds=[0]", "--config=seeds=[1]"], ["-Cseeds=[0]", "-n", "-C", "seeds=[1]"]]
)
def test_a_key_given_twice_is_an_error_where_it_is_joined_to_the_option(words):
    with pytest.raises(InputError, match="^--config: seeds is given twice; keep one of them$"):
        check_repeated_keys([], [*words, "--", "all"])
    check_repeated_keys([], ["--configfile=seeds=0", words[0], "--", "all", "seeds=[1]"])


def test_keys_given_once_pass(tmp_path):
    (tmp_path / "x.yaml").write_text("training: {steps: 1}\nvariants: {a: {sets: [cxr]}, b: {sets: [cxr]}}\n")
    entries = [
        "training={steps: 1}",
        "training={batch_size: 2}",
        "variants={a: {text: sentences}, b: {text: sentences}}",
    ]
    check_repeated_keys(
        [tmp_path / "x.yaml", *PRESETS.glob("*.yaml")], ["--config", *entries, "-n", "steps=1", "steps=1"]
    )
