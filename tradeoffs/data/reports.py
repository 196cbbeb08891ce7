"""The impression of a radiology report, cut as the owners of MIMIC-CXR cut it.

Their rules are those of txt/section_parser.py and txt/create_section_files.py in MIT-LCP/mimic-cxr. Where these find no
impression, heads that they do not see (in small letters, not indented, within a line, misspelt) are looked for, and
the text says so.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple


class Impression(NamedTuple):
    """The text of an impression, white space folded, and how it differs from that of MIMIC's parser ("": as there)."""

    text: str
    difference: str = ""


BY_HAND = "cut where MIMIC's authors say so for this report"
MIXED_CASE = "head not in capitals"
NOT_INDENTED = "head not indented"
WITHIN_A_LINE = "head within a line"
MISSPELT = "head misspelt"
OTHER_FORM = "head of another form"
SIGNATURE = "signature cut off"
DIFFERENCES = (BY_HAND, MIXED_CASE, NOT_INDENTED, WITHIN_A_LINE, MISSPELT, OTHER_FORM, SIGNATURE)

# A head stands at the start of a line, indented, in capitals, and ends with a colon and white space.
_HEAD = re.compile(r"\n ([A-Z ()/,-]+):\s")
_MISSPELT = [
    "impresson",
    "imprression",
    "imoression",
    "impressoin",
    "imprssion",
    "impresion",
    "imperssion",
    "mpression",
    "impession",
    "ndication",
]
_NAMES = (
    dict.fromkeys(["conclusion", *_MISSPELT], "impression")
    | dict.fromkeys(["recommendation", "recommendation(s)"], "recommendations")
    | dict.fromkeys(["exam", "type of examination"], "examination")
    | dict.fromkeys(["reason for exam", "reason for examination", "clinical indication"], "indication")
    | dict.fromkeys(["clinical information", "pfi"], "history")
)
_MAIN = ("impression", "findings", "history", "comparison", "addendum")  # names that contain one of these are that one

# Reports that MIMIC's authors cut by hand: the section that holds what is to be taken, or its first and last character.
_SECTIONS_BY_HAND = {
    "recommendations": "50913680 59768032 59067458 59087630 58157373 56482935 58375018",
    "examination": "59363654 53356173 50743547 59215320 55157853",
    "technique": "59279892 53202765 50808053",
    "indication": "57936451 50058765 51966317 55124749 54365831 54654948",
    "note": "56451190",
    "history": "51491012",
}
_SECTION_OF_STUDY = {study: name for name, studies in _SECTIONS_BY_HAND.items() for study in studies.split()}
_CHARACTERS_OF_STUDY = {
    "50525523": (201, 349),
    "57564132": (233, 554),
    "59982525": (313, 717),
    "53488209": (149, 475),
    "54875119": (234, 988),
    "50196495": (59, 399),
    "56579911": (59, 218),
    "52648681": (292, 631),
    "59889364": (172, 453),
    "53514462": (73, 377),
    "59505494": (59, 450),
    "53182247": (59, 412),
    "51410602": (47, 320),
    "56412866": (522, 822),
    "54986978": (59, 306),
    "59003148": (262, 505),
    "57150433": (61, 394),
    "56760320": (219, 457),
    "59562049": (158, 348),
    "52674888": (145, 296),
    "55258338": (192, 568),
    "59330497": (140, 655),
    "52119491": (179, 454),
} | dict.fromkeys(
    ["58235663", "50798377", "54168089", "53071062", "56724958", "54231141", "53607029", "52035334"], (0, 0)
)

# What is looked for in a report in which MIMIC's parser finds no impression
_LINE_HEAD = re.compile(r"^([ \t]*)([A-Z(][A-Za-z ()/&,-]{2,50}?)[ \t]*:", re.MULTILINE)
_INNER_HEAD = re.compile(r"(?<=[.:])([ \t]+)((?:[A-Z]+[ \t]+(?:AND[ \t]+)?)?(?:IMPRESSION|CONCLUSION)S?)[ \t]*:")
_ANSWERS = ("impression", "impressions", "conclusion", "conclusions")
_SECTION_WORDS = (
    *_ANSWERS,
    *("finding", "findings", "recommendation", "recommendations", "notification", "indication", "comparison"),
    *("comparisons", "examination", "exam", "technique", "history", "addendum", "comment", "wet read", "note"),
)
# A signature begins a paragraph or follows a whole sentence: a line of the impression may begin with "reported by Dr."
_SIGNATURE = re.compile(
    r"(?:\A\s*|\n[ \t]*\n|(?<=[.:?!])[ \t]*\n)[ \t]*"
    r"(?:electronically )?(?:signed|dictated|approved|reported) by\b.*",
    re.I | re.S,
)


def sections(report: str) -> list[tuple[str, str]]:
    """The sections of a report as MIMIC's authors cut them: name (small letters, one name for all its spellings), text.

    A head in the line after a head belongs to the text: it usually names the view.
    """
    found = []
    head = _HEAD.search(report)
    while head:
        first_line = max(report[head.end() :].find("\n"), 0)
        following = _HEAD.search(report, head.end() + first_line)
        found.append((_name(head[1]), report[head.end() : following.start() if following else len(report)].strip()))
        head = following
    return found


def cut_impression(report: str, study: str = "") -> Impression | None:
    """The impression of a report, the last of several that say something; None if there is none.

    study: digits of the study's id, for the reports that MIMIC's authors cut by hand
    """
    if study in _CHARACTERS_OF_STUDY:
        start, end = _CHARACTERS_OF_STUDY[study]
        return _impression(report[start:end], BY_HAND)
    name = _SECTION_OF_STUDY.get(study, "impression")
    texts = [text for section, text in sections(report) if section == name and text]
    if texts:
        return _impression(texts[-1], BY_HAND if study in _SECTION_OF_STUDY else "")
    found = [_impression(text, difference) for text, difference in _under_unusual_heads(report)]
    return next((impression for impression in reversed(found) if impression), None)


def _name(head: str) -> str:
    name = head.lower().strip()
    return _NAMES.get(name) or next((main for main in _MAIN if main in name), name)


def _impression(text: str, difference: str) -> Impression | None:
    unsigned = _SIGNATURE.sub("", text)
    if unsigned.strip() != text.strip():
        difference = difference or SIGNATURE
    folded = " ".join(unsigned.split())
    return Impression(folded, difference) if folded else None


def _under_unusual_heads(report: str) -> Iterator[tuple[str, str]]:
    """Texts under heads of impressions that MIMIC's parser does not see, each with what is unusual about its head."""
    heads = [head for head in _LINE_HEAD.finditer(report) if _words(head[2], _SECTION_WORDS)]
    inner = [head for head in _INNER_HEAD.finditer(report) if all(head.start(2) != other.start(2) for other in heads)]
    ordered = sorted(heads + inner, key=lambda head: head.start(2))
    ends = [*(head.start() for head in ordered), len(report)][1:]
    for head, end in zip(ordered, ends, strict=True):
        word = _words(head[2], _ANSWERS)
        if not word:
            continue
        yield report[head.end() : end], _unusual(head, word) if head in heads else WITHIN_A_LINE


def _unusual(head: re.Match[str], word: str) -> str:
    if not head[2].isupper():
        return MIXED_CASE
    if word not in head[2].lower():
        return MISSPELT
    return OTHER_FORM if head[1] else NOT_INDENTED


def _words(head: str, words: tuple[str, ...]) -> str:
    """The first of the words that a head has, as first or last of its words, or misspelt as its only one; else ""."""
    parts = re.findall(r"[a-z]+", head.lower())
    if not parts or len(parts) > (4 if head.isupper() else 3):
        return ""
    if len(parts) == 1 and parts[0] not in words:
        return next(iter(get_close_matches(parts[0], words, n=1, cutoff=0.9)), "")
    return next((part for part in (parts[0], parts[-1]) if part in words), "")
