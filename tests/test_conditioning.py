import logging
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import CLIPTokenizer

from tradeoffs.data.conditioning import conditioning, prompt_texts, read_captions, read_sentences
from tradeoffs.data.findings import QUERY_WORDS
from tradeoffs.errors import InputError

RESOURCES = Path(__file__).parents[1] / "resources"
SENTENCES = {"Edema": ["Edema A.", "Edema B."], "Pneumonia": ["Pneumonia A.", "Pneumonia B.", "Pneumonia C."]}


def image(sample_id, labels, text="An impression."):
    return {"sample_id": sample_id, "text": text, "Finding Labels": labels}


def prompts(*labels):
    return pd.DataFrame({"prompt_id": [f"p{i}" for i in range(len(labels))], "text": "A.", "Finding Labels": labels})


def uses(texts, row, n=400):
    """The different texts of n uses."""
    return {texts(row, np.random.default_rng(use)) for use in range(n)}


# --- fine-tuning --------------------------------------------------------------------------------------------------


def test_an_impression_is_always_the_same_and_takes_no_random_number():
    table = pd.DataFrame([image("a", "Edema", "Mild edema."), image("b", "", "  "), image("c", "", "Clear lungs.")])
    rows, texts, counts = conditioning("impression", table)
    assert rows["sample_id"].tolist() == ["a", "c"] and rows.index.tolist() == [0, 1]
    assert counts == {"read": 3, "no text": 1, "kept": 2}
    rng = np.random.default_rng(0)
    assert [texts(0, rng), texts(1, rng), texts(0, rng)] == ["Mild edema.", "Clear lungs.", "Mild edema."]
    assert rng.random() == np.random.default_rng(0).random()


def test_captions_take_turns():
    table = pd.DataFrame([image("1", "cat"), image("2", "dog"), image("3", "dog")])
    captions = pd.DataFrame({"sample_id": ["3", "1", "3", "9"], "text": ["a dog", "a cat", "the dog", "a bus"]})
    rows, texts, counts = conditioning("impression", table, captions=captions)
    assert rows["sample_id"].tolist() == ["1", "3"]
    assert counts == {"read": 3, "no caption": 1, "kept": 2}
    assert uses(texts, 0) == {"a cat"}
    assert uses(texts, 1) == {"a dog", "the dog"}


def test_labels_come_in_every_order_and_no_label_is_the_empty_text():
    labels = ["Edema", "Pleural Effusion", "Support Devices"]
    table = pd.DataFrame([image("a", ""), image("b", "|".join(labels)), image("c", "No Finding")])
    rows, texts, counts = conditioning("finding_labels", table)
    assert rows["sample_id"].tolist() == ["a", "b", "c"]
    assert counts == {"read": 3, "no Finding Labels (kept, empty text)": 1, "kept": 3}
    assert uses(texts, 0) == {""}
    assert uses(texts, 1) == {" ".join(order) for order in permutations(labels)}
    assert uses(texts, 2) == {"No Finding"}


def test_orders_are_equally_likely():
    _, texts, _ = conditioning("finding_labels", pd.DataFrame([image("a", "Edema|Pneumonia|Fracture")]))
    drawn = pd.Series([texts(0, np.random.default_rng(use)) for use in range(3000)]).value_counts()
    assert drawn.between(400, 600).all()  # 3000 / 6 = 500, standard deviation sqrt(3000 * 1/6 * 5/6) = 20


def test_one_sentence_of_one_finding():
    _, texts, counts = conditioning("sentences", pd.DataFrame([image("a", "Edema|Pneumonia")]), sentences=SENTENCES)
    assert counts == {"read": 1, "no Finding Labels with sentences (no sentence of No Finding)": 0, "kept": 1}
    assert uses(texts, 0) == {"Edema A.", "Edema B.", "Pneumonia A.", "Pneumonia B.", "Pneumonia C."}
    drawn = pd.Series([texts(0, np.random.default_rng(use))[:5] for use in range(1000)]).value_counts()
    assert drawn.between(430, 570).all()  # findings, not sentences, are equally likely: 500, s.d. 16


UNSAID = ["Support Devices|Edema", "Support Devices", "", "Fracture|Support Devices"]


def test_labels_without_sentences_are_left_unsaid_counted_and_logged(caplog):
    table = pd.DataFrame([image(f"i{i}", names) for i, names in enumerate(UNSAID)])
    with caplog.at_level(logging.INFO):
        rows, texts, counts = conditioning("sentences", table, sentences=SENTENCES)
    assert rows["sample_id"].tolist() == ["i0"]
    assert uses(texts, 0) == {"Edema A.", "Edema B."}
    assert counts == {"read": 4, "no Finding Labels with sentences (no sentence of No Finding)": 3, "kept": 1}
    assert "left unsaid: Fracture (rows: 1), Support Devices (rows: 3)" in caplog.text


def test_without_a_finding_that_has_sentences_the_text_is_one_of_no_finding():
    table = pd.DataFrame([image(f"i{i}", names) for i, names in enumerate(UNSAID)])
    rows, texts, counts = conditioning("sentences", table, sentences=SENTENCES | {"No Finding": ["Clear.", "Normal."]})
    assert len(rows) == 4
    assert [uses(texts, row) for row in range(4)] == [{"Edema A.", "Edema B."}] + [{"Clear.", "Normal."}] * 3
    assert counts == {"read": 4, "no Finding Labels with sentences (kept, a sentence of No Finding)": 3, "kept": 4}


def test_a_text_depends_on_the_generator_only():
    table = pd.DataFrame([image("a", "Edema|Pneumonia"), image("b", "Pneumonia|Edema")])
    _, texts, _ = conditioning("sentences", table, sentences=SENTENCES)
    once = [texts(0, np.random.default_rng(use)) for use in range(20)]
    texts(1, np.random.default_rng(5))
    assert [texts(0, np.random.default_rng(use)) for use in range(20)] == once


def test_nothing_to_fine_tune_on_is_an_error():
    table = pd.DataFrame([image("a", "Support Devices"), image("b", "")])
    with pytest.raises(InputError, match='no image with a text of the kind "sentences".*check its columns'):
        conditioning("sentences", table, sentences=SENTENCES)
    with pytest.raises(InputError, match='no image with a text of the kind "finding_labels"'):
        conditioning("finding_labels", table[1:])


# --- sampling -----------------------------------------------------------------------------------------------------


def test_prompts_of_each_kind():
    table = prompts("Edema|Pneumonia", "No Finding")
    assert prompt_texts("impression", table, None, 0) == ["A.", "A."]
    first, second = prompt_texts("finding_labels", table, None, 0)
    assert first in ("Edema Pneumonia", "Pneumonia Edema") and second == "No Finding"
    (drawn,) = prompt_texts("sentences", table.iloc[:1], SENTENCES, 0)
    assert re.fullmatch(r"Edema [AB]\.|Pneumonia [ABC]\.", drawn)


def test_a_prompts_text_depends_on_seed_and_id_only():
    table = prompts(*["Edema|Pneumonia"] * 40)
    texts = dict(zip(table["prompt_id"], prompt_texts("sentences", table, SENTENCES, 0), strict=True))
    assert len(set(texts.values())) > 3  # of 5: ids have draws of their own
    part = table.iloc[::-3]
    assert prompt_texts("sentences", part, SENTENCES, 0) == [texts[i] for i in part["prompt_id"]]
    assert prompt_texts("sentences", table, SENTENCES, 1) != list(texts.values())


@pytest.mark.parametrize(
    ("kind", "labels", "remedy"),
    [
        ("finding_labels", "", "give it Finding Labels in your"),
        ("sentences", "", r"give it one of the Finding Labels that have sentences \(Edema, Pneumonia\)"),
        ("sentences", "Fracture", r"give it one of the Finding Labels that have sentences \(Edema, Pneumonia\)"),
    ],
)
def test_a_prompt_without_a_text_is_named(kind, labels, remedy):
    with pytest.raises(InputError, match=f"prompt 'p1' with Finding Labels '{labels}' has no text of .*{remedy}"):
        prompt_texts(kind, prompts("Edema", labels, "Pneumonia"), SENTENCES, 0)


# --- files --------------------------------------------------------------------------------------------------------


def test_sentences_are_read_by_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('Edema,Support Devices\nOne.,"A line, a tube."\n  Two  words. ,\n,\n')
    assert read_sentences(path) == {"Edema": ["One.", "Two words."], "Support Devices": ["A line, a tube."]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,finding\na,b\n", "has no column named after a finding; give a CSV with a column of sentences"),
        ("Edema,Oedema\na,b\n", "the column 'Oedema' is named after no finding; remove it or give"),
        ("Edema,Pneumonia,Edema\na,b,c\n", "has several columns 'Edema'"),
        ("Edema,Edema \na,b\n", "has several columns 'Edema'"),
        ("Edema,Pneumonia\na, \nb,\n", "the column 'Pneumonia' has no sentence; write at least one"),
        ("Edema\n", "the column 'Edema' has no sentence"),
    ],
)
def test_wrong_sentences_are_named(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=f"mine.csv: {message}"):
        read_sentences(path)


def test_missing_sentences_are_named(tmp_path):
    with pytest.raises(InputError, match="mine.csv: there is no such file; give a CSV"):
        read_sentences(tmp_path / "mine.csv")


def test_captions_are_read(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("text,sample_id,more\na cat,000000000139,x\nNA,000000000139,y\n")
    table = read_captions(path)
    assert table.columns.tolist() == ["sample_id", "text"]
    assert table.to_numpy().tolist() == [["000000000139", "a cat"], ["000000000139", "NA"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sample_id\n1\n", ": has no column 'text'; delete the file to have it made again"),
        ("sample_id,text\n1,a\n ,b\n", ", row 3: sample_id is empty"),
        ("sample_id,text\n1,\n", ", row 2: text is empty"),
    ],
)
def test_wrong_captions_are_named(tmp_path, content, message):
    path = tmp_path / "captions.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=f"captions.csv{message}"):
        read_captions(path)


# --- the sentences that ship --------------------------------------------------------------------------------------

PARAPHRASES = {  # sentences that assert the finding without its query words contain one of these
    "Atelectasis": ("volume loss", "collapse"),
    "Cardiomegaly": ("heart is enlarged", "heart is severely enlarged", "enlarged heart"),
    "Consolidation": ("with air bronchograms", "dense airspace disease"),
    "Edema": ("interstitial fluid", "alveolar fluid"),
    "Lung Opacity": ("density",),
    "Pleural Effusion": ("fluid in the left costophrenic", "layering fluid", "angles are blunted by fluid"),
    "Pneumonia": ("bronchopneumonia", "lobar infection"),
    "Pneumothorax": ("air outside", "rim of air"),
}
NORMAL = re.compile(r"\b(normal|clear|no (acute|evidence|abnormality|focal)|without acute)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def shipped():
    return read_sentences(RESOURCES / "sentences.csv")


def asked_for(sentence):
    """The findings whose query words stand in the sentence."""
    words = re.findall(r"[a-z]+", sentence.lower())
    return {finding for finding, query in QUERY_WORDS.items() if set(query) & set(words)}


def test_shipped_sentences_are_many_and_different(shipped):
    assert list(shipped) == [*QUERY_WORDS, "No Finding"]
    assert min(map(len, shipped.values())) >= 20
    everything = [sentence.lower() for column in shipped.values() for sentence in column]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("finding", QUERY_WORDS)
def test_shipped_sentences_assert_their_finding_and_no_other(shipped, finding):
    paraphrased = [sentence for sentence in shipped[finding] if not asked_for(sentence)]
    assert len(paraphrased) <= 4
    for sentence in paraphrased:
        assert any(words in sentence.lower() for words in PARAPHRASES[finding]), sentence
    for sentence in shipped[finding]:
        assert asked_for(sentence) <= {finding}, sentence
        assert not re.search(r"\b(no|not|without|possible|cannot)\b", sentence, re.IGNORECASE), sentence


def test_shipped_normal_sentences_name_no_finding(shipped):
    for sentence in shipped["No Finding"]:
        assert NORMAL.search(sentence) and not asked_for(sentence), sentence


def test_shipped_sentences_fit_the_demos_text_encoder(shipped):
    tokenizer = CLIPTokenizer.from_pretrained(RESOURCES / "demo_base" / "tokenizer")
    everything = [sentence for column in shipped.values() for sentence in column]
    lengths = np.array([len(tokenizer(sentence)["input_ids"]) for sentence in everything])  # with start and end
    assert np.mean(lengths <= 18) >= 0.95
    assert lengths.max() < tokenizer.model_max_length
    assert max(len(sentence.split()) for sentence in everything) <= 12
    assert all(re.fullmatch(r"[A-Z].*[a-z]\.", sentence) for sentence in everything)
