"""Findings as tokens of their own: one token per finding, which says that it is present or absent.

The original's `multi_label_finetuning` (`OpenClipDummyTokenizer`, `FrozenOpenCLIPEmbedder`): tokens drawn at random
from the vocabulary, which the text encoder reads one by one, without positions.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextModel

from tradeoffs.data.findings import NO_FINDING
from tradeoffs.data.findings_in_text import FINDINGS
from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path
from tradeoffs.randomness import numpy_rng

FILE = "finding_tokens.json"  # in the tokenizer's folder


@dataclass(frozen=True)
class FindingTokenizer:
    """From the names of findings, joined by "|", to one token per finding of FINDINGS; in place of a model's tokenizer.

    The empty text means "No Finding", as in the original; "|" means that all are absent.

    present, absent: token ids, in the order of FINDINGS
    start, end: ids around them, or None for none (the original's `append_invariance_tokens`); padding has the id 0
    model_max_length: of the context; without start and end the number of findings
    """

    present: list[int]
    absent: list[int]
    start: int | None
    end: int | None
    model_max_length: int

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True, **_: Any) -> dict[str, list]:
        """As a tokenizer of transformers: the lists of one text, or of several."""
        if not isinstance(text, str):
            several = [self(one, add_special_tokens) for one in text]
            return {key: [one[key] for one in several] for key in several[0]} if several else {"input_ids": []}
        names = text.split("|") if text else [NO_FINDING]
        spans = dict(zip(names, _spans(names), strict=True))
        pairs = zip(FINDINGS, self.present, self.absent, strict=True)
        ids = [present if name in spans else absent for name, present, absent in pairs]
        offsets = [spans.get(name, (0, 0)) if text else (0, 0) for name in FINDINGS]
        special = [0] * len(ids)
        if self.start is not None and self.end is not None and add_special_tokens:
            padding = self.model_max_length - len(ids) - 2
            ids = [self.start, *ids, self.end, *[0] * padding]
            offsets = [(0, 0), *offsets, *[(0, 0)] * (padding + 1)]
            special = [1, *special, *[1] * (padding + 1)]
        return {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "special_tokens_mask": special,
            "offset_mapping": offsets,
        }

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The findings' names, in the order in which their tokens stand."""
        return list(FINDINGS[: len(ids)])

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes FILE into a folder, which `read` reads."""
        Path(folder).mkdir(exist_ok=True)
        with atomic_path(Path(folder) / FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> "FindingTokenizer | None":
        """The tokenizer of a folder, or None if it has an ordinary one. Raises InputError for a broken file."""
        file = Path(folder) / FILE
        if not file.is_file():
            return None
        try:
            tokenizer = cls(**json.loads(file.read_text()))
            lengths = {len(tokenizer.present), len(tokenizer.absent)}
        except (TypeError, ValueError) as error:
            raise InputError(f"{file}: not the tokens of findings ({error}); fine-tune the variant again") from error
        if lengths != {len(FINDINGS)}:
            raise InputError(
                f"{file}: must have {len(FINDINGS)} tokens for findings that are present and as many for "
                "those that are absent; fine-tune the variant again"
            )
        return tokenizer


def finding_tokenizer(tokenizer, seed: int, start_and_end: bool, one_absent: bool) -> FindingTokenizer:
    """Tokens of findings, drawn from another tokenizer's vocabulary for the seed, each another one.

    start_and_end: between the tokenizer's start and end tokens, padded to its context length
    one_absent: one token says for all findings but "No Finding" that they are absent (original:
      `single_healthy_class_token`)
    """
    special = {0, *tokenizer.all_special_ids}
    ids = [number for number in range(len(tokenizer)) if number not in special]
    drawn = [int(one) for one in numpy_rng(seed, "finding tokens").permutation(ids)[: 2 * len(FINDINGS)]]
    present, absent = drawn[: len(FINDINGS)], drawn[len(FINDINGS) :]
    if one_absent:
        absent = [absent[0], *[absent[1]] * (len(FINDINGS) - 1)]
    return FindingTokenizer(
        present,
        absent,
        start=tokenizer.bos_token_id if start_and_end else None,
        end=tokenizer.eos_token_id if start_and_end else None,
        model_max_length=tokenizer.model_max_length if start_and_end else len(FINDINGS),
    )


def without_positions(network: CLIPTextModel) -> CLIPTextModel:
    """The text encoder, changed in place, with position embeddings that are zero and stay zero in training.

    Raises InputError unless it is CLIP's.
    """
    if network.config.model_type != "clip_text_model":
        raise InputError(
            f"a text encoder of the kind {network.config.model_type} cannot read finding_tokens; take CLIP's, or "
            "another text for the variant"
        )
    old = network.embeddings.position_embedding
    network.embeddings.position_embedding = _NoPositions.from_pretrained(torch.zeros_like(old.weight), freeze=False)
    return network


def own_token_only(length: int) -> torch.Tensor:
    """Attention mask with which each token sees itself only, (1, 1, L, L), to be added to attention's logits."""
    mask = torch.full((length, length), torch.finfo(torch.float32).min)
    return mask.fill_diagonal_(0)[None, None]


class _NoPositions(torch.nn.Embedding):
    """Zeros of the right shape, so that weights that are trained get a gradient, of zero."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) * 0


def _spans(names: Sequence[str]) -> list[tuple[int, int]]:
    starts = [sum(len(name) + 1 for name in names[:place]) for place in range(len(names))]
    return [(start, start + len(name)) for start, name in zip(starts, names, strict=True)]
