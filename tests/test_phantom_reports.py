import re

import numpy as np
import pytest

from tradeoffs.data.findings import CHEXPERT_LABELS, MSCXR_FINDINGS, NO_FINDING, QUERY_WORDS
from tradeoffs.data.reports import Impression, cut_impression
from tradeoffs.demo.phantom_reports import impression, phrase, report
from tradeoffs.demo.phantoms import draw_findings


def draws(n, names_of):
    """`n` draws of findings with phrases, impression and labels."""
    for i in range(n):
        rng = np.random.default_rng(i)
        names = names_of(rng)
        findings = draw_findings(rng, names)
        phrases = [phrase(f, rng) for f in findings]
        text, labels = impression(phrases, names, rng)
        yield findings, phrases, text, labels, rng


def up_to_two(rng):
    return [str(name) for name in rng.permutation(MSCXR_FINDINGS)[: rng.integers(0, 3)]]


def words(text):
    return set(re.findall(r"[a-z-]+", text.lower()))


@pytest.mark.parametrize("name", MSCXR_FINDINGS)
def test_phrases_say_the_side_and_nothing_wrong(name):
    seen = set()
    for (finding,), (text,), _, _, _ in draws(150, lambda rng: [name]):
        seen.add(text)
        said = words(text) & {"left", "right", "bilateral", "both"}
        expected = {"central": [set()], "bilateral": [{"bilateral"}, {"both"}]}.get(finding.side, [{finding.side}])
        assert said in expected, text
        assert text == text.lower().strip() and not re.search(r"[{}.]|  ", text), text
        sizes = words(text) & {"mild", "mildly", "severe", "severely", "small", "large"}
        assert {word.removesuffix("ly") for word in sizes} <= {finding.size, finding.severity}, text
        other_words = {word for other in MSCXR_FINDINGS if other != name for word in QUERY_WORDS[other]}
        assert not words(text.replace("pleural line", "")) & other_words, text  # a pleural line is no effusion
    assert len(seen) > 8


def test_query_words_are_in_most_phrases():
    phrases = [(f.name, p) for findings, ps, *_ in draws(400, up_to_two) for f, p in zip(findings, ps, strict=True)]
    found = [bool(words(text) & set(QUERY_WORDS[name])) for name, text in phrases]
    assert 0.85 < np.mean(found) < 1  # a few avoid the finding's name, as real ones do


def test_impressions_agree_with_their_labels():
    values = {1.0: 0, 0.0: 0, -1.0: 0}
    for findings, phrases, text, labels, _ in draws(600, up_to_two):
        sentences = [s.lower().strip(" .") for s in text.split(". ")]
        assert text.endswith(".") and all(s[0].isupper() for s in text.split(". "))
        assert all(p in text.lower() for p in phrases)
        present = {name for name, value in labels.items() if value == 1}
        assert present == ({f.name for f in findings} or {NO_FINDING}) and set(labels) <= set(CHEXPERT_LABELS)
        negated = [
            s for s in sentences if re.match(r"no .*(pneumothorax|effusion|consolidation|edema)|heart size is", s)
        ]
        uncertain = [s for s in sentences if s in ("pneumonia cannot be excluded", "possible atelectasis")]
        for name, value in labels.items():
            values[value] += 1
            if value == 0:
                word = "heart size is normal" if name == "Cardiomegaly" else name.split()[-1].lower()
                assert len(negated) == 1 and word in negated[0], text
            if value == -1:
                assert len(uncertain) == 1 and name.lower() in uncertain[0], text
        assert len(negated) == sum(value == 0 for value in labels.values()), text
        assert len(uncertain) == sum(value == -1 for value in labels.values()), text
        assert 1 <= len(sentences) <= 3
    assert values[0.0] > 100 and values[-1.0] > 5


def test_preparation_reads_the_impression_back():
    without = 0
    for _, phrases, text, _, rng in draws(400, up_to_two):
        content, has_impression = report(text, phrases, rng)
        assert cut_impression(content) == (Impression(text) if has_impression else None), content
        assert "FINDINGS:" in content and all(p in content.lower() for p in phrases)
        without += not has_impression
    assert 4 <= without <= 32  # 4 % of 400, standard deviation 4
