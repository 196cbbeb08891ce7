import pytest
import torch

from tradeoffs.data.findings_in_text import FINDINGS
from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import load
from tradeoffs.model.finding_tokens import (
    FindingTokenizer,
    finding_tokenizer,
    own_token_only,
    without_positions,
)
from tradeoffs.model.text import tokenize

EDEMA, PNEUMONIA = FINDINGS.index("Edema"), FINDINGS.index("Pneumonia")


def plain():
    return FindingTokenizer(list(range(10, 19)), list(range(30, 39)), None, None, model_max_length=9)


def test_each_finding_has_a_token_that_says_whether_it_is_present():
    assert plain()("Pneumonia|Edema")["input_ids"] == [30, 31, 32, 33, 14, 35, 36, 17, 38]


def test_the_empty_text_is_no_finding():
    assert plain()("")["input_ids"] == plain()("No Finding")["input_ids"] == [10, *range(31, 39)]


def test_all_can_be_absent():
    assert plain()("|")["input_ids"] == list(range(30, 39))


def test_tokens_stand_where_the_names_stand_in_the_text():
    tokens = tokenize(plain(), "Pneumonia|Edema")
    assert tokens.strings == list(FINDINGS)
    assert tokens.positions == list(range(9))
    assert tokens.spans[PNEUMONIA].tolist() == [0, 9]
    assert tokens.spans[EDEMA].tolist() == [10, 15]
    assert tokens.spans[0].tolist() == [0, 0]


def test_start_end_and_padding_stand_around_the_findings():
    tokenizer = FindingTokenizer(list(range(10, 19)), list(range(30, 39)), 100, 101, model_max_length=14)
    assert tokenizer("Edema")["input_ids"] == [100, 30, 31, 32, 33, 14, 35, 36, 37, 38, 101, 0, 0, 0]
    tokens = tokenize(tokenizer, "Edema")
    assert tokens.positions == list(range(1, 10))
    assert tokens.spans[EDEMA].tolist() == [0, 5]


def test_tokens_are_drawn_once_and_are_no_special_ones(tiny_model):
    drawn = finding_tokenizer(tiny_model.tokenizer, 0, start_and_end=False, one_absent=False)
    ids = drawn.present + drawn.absent
    assert len(set(ids)) == 18
    assert not set(ids) & {0, *tiny_model.tokenizer.all_special_ids}
    assert drawn == finding_tokenizer(tiny_model.tokenizer, 0, start_and_end=False, one_absent=False)
    assert drawn != finding_tokenizer(tiny_model.tokenizer, 1, start_and_end=False, one_absent=False)


def test_one_token_can_stand_for_all_that_is_absent(tiny_model):
    drawn = finding_tokenizer(tiny_model.tokenizer, 0, start_and_end=False, one_absent=True)
    assert len(set(drawn.absent)) == 2
    assert drawn.absent[0] not in drawn.absent[1:]


def test_it_is_read_as_it_was_written(tmp_path):
    plain().save_pretrained(tmp_path)
    assert FindingTokenizer.read(tmp_path) == plain()
    assert FindingTokenizer.read(tmp_path / "another") is None


@pytest.mark.parametrize(
    "text", ["{", '{"present": [1]}', '{"present": [1], "absent": [2], "start": 1, "end": 2, "model_max_length": 9}']
)
def test_a_broken_file_is_refused_by_its_name(tmp_path, text):
    (tmp_path / "finding_tokens.json").write_text(text)
    with pytest.raises(InputError, match=r"finding_tokens\.json: .*fine-tune the variant again"):
        FindingTokenizer.read(tmp_path)


def test_each_token_is_read_for_itself(tiny_base):
    network = without_positions(load(tiny_base).text_encoder)
    ids = torch.tensor([[5, 6, 7], [7, 5, 6]])
    with torch.no_grad():
        states = network(input_ids=ids, attention_mask=own_token_only(3))[0]
    torch.testing.assert_close(states[0, 0], states[1, 1])
    torch.testing.assert_close(states[0, 2], states[1, 0])
    assert not torch.allclose(states[0, 0], states[0, 1])


def test_positions_stay_zero_in_training(tiny_base):
    network = without_positions(load(tiny_base).text_encoder).requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(input_ids=torch.tensor([[5, 6, 7]]))[0].square().sum().backward()
    optimizer.step()
    assert not network.embeddings.position_embedding.weight.any()
