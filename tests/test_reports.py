import pytest

from tradeoffs.data.reports import (
    BY_HAND,
    MISSPELT,
    MIXED_CASE,
    NOT_INDENTED,
    OTHER_FORM,
    SIGNATURE,
    WITHIN_A_LINE,
    Impression,
    cut_impression,
    sections,
)

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 
 COMPARISON:  None. IMPRESSION: none
 
 FINDINGS: 
 
 Clear.
 
 IMPRESSION: 
 
 No acute
 process.
"""


def test_sections_are_those_of_mimics_parser():
    assert sections(REPORT) == [
        ("examination", "CHEST (PA AND LAT)"),
        ("comparison", "None. IMPRESSION: none"),
        ("findings", "Clear."),
        ("impression", "No acute\n process."),
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Large effusion, as\n reported by Dr. ___ by telephone.\n Edema.", None),
        ("Edema.\n \n Reported by ___", "Edema."),
        ("Edema\n \n Approved by ___", "Edema"),
        ("Edema, as\n reported by ___.\n Signed by ___", "Edema, as reported by ___."),
    ],
)
def test_a_line_of_the_text_that_begins_like_a_signature_is_none(text, kept):
    found = cut_impression(f"\n IMPRESSION: {text}\n")
    whole = " ".join(text.split())
    assert found == (Impression(whole) if kept is None else Impression(kept, SIGNATURE))


@pytest.mark.parametrize(
    ("report", "impression"),
    [
        (REPORT, "No acute process."),
        ("\n FINDINGS: Clear.\n \n CONCLUSION:\n Normal.", "Normal."),
        ("\n IMPRESSION AND PLAN:\n Edema.\n Follow up.", "Edema. Follow up."),
        ("\n (PRELIMINARY) IMPRESSION: Edema.", "Edema."),
        ("\n IMPRESSION (PRELIMINARY): Edema.", "Edema."),
        ("\n IMPRESSIONS:\n Edema.", "Edema."),
        ("\n IMPRESSOIN: Edema.", "Edema."),
        ("\n IMPRESSION : Edema.", "Edema."),
        ("\n FINDINGS AND IMPRESSION: Normal chest.", "Normal chest."),
        ("\n FINDINGS/IMPRESSION:\n Normal chest.", "Normal chest."),
        ("\n IMPRESSION:\n 1. Edema.\n\n 2. Small effusion:\n left.\n", "1. Edema. 2. Small effusion: left."),
        ("\n IMPRESSION: Edema.\n \n NOTIFICATION: Dr. ___ was called.", "Edema."),
        ("\n IMPRESSION: Edema.\n DICTATED BY: ___", "Edema."),
        ("\n IMPRESSION: Edema.\n RECOMMENDATION(S):  CT.", "Edema."),
        ("\n IMPRESSION: Edema.\n\n DISEASE (ACUTE) CODE:  3", "Edema."),
        # no heads: words within a line, in small letters, not indented, or right after a head
        ("\n IMPRESSION: In COMPARISON: worse edema.", "In COMPARISON: worse edema."),
        ("\n IMPRESSION: Edema.\n Impression: none.\n NOTE: x", "Edema. Impression: none."),
        ("\n IMPRESSION: Edema.\nCOMPARISON: worse.", "Edema. COMPARISON: worse."),
        ("\n IMPRESSION: PA AND LATERAL CHEST: Clear.\n NOTE: none", "PA AND LATERAL CHEST: Clear."),
        ("\n IMPRESSION:\n PA AND LATERAL CHEST:\n Clear.", "PA AND LATERAL CHEST: Clear."),
        # the last one that says something
        ("\n WET READ: x\n IMPRESSION: Old.\n y\n IMPRESSION: New.", "New."),
        ("\n IMPRESSION: Old.\n\n FINDINGS: z\n IMPRESSION: \n\n NOTIFICATION: none", "Old."),
    ],
)
def test_the_impression_is_that_of_mimics_parser(report, impression):
    assert cut_impression(report) == (impression, "")


@pytest.mark.parametrize(
    ("report", "impression", "difference"),
    [
        (" FINDINGS: Clear.\n Impression: Normal.\n Recommendation: none", "Normal.", MIXED_CASE),
        ("impression of a nodule.\n Impression and plan:\n Normal.", "Normal.", MIXED_CASE),
        ("FINDINGS: Clear.\nIMPRESSION: Normal.\nCOMPARISON: ___", "Normal.", NOT_INDENTED),
        (" FINDINGS: Clear lungs. IMPRESSION: Normal chest.\n", "Normal chest.", WITHIN_A_LINE),
        ("\n IMPRSSSION: Edema.\n NOTE: x", "Edema.", MISSPELT),
        ("\n IMPRESSION:Edema.", "Edema.", OTHER_FORM),
        ("\n IMPRESSION: \n \n PA AND LATERAL CHEST:  Clear.", "PA AND LATERAL CHEST: Clear.", OTHER_FORM),
        ("\n IMPRESSION: Edema.\n Electronically signed by ___, M.D.", "Edema.", SIGNATURE),
    ],
)
def test_other_heads_are_found_and_what_is_unusual_about_them_is_told(report, impression, difference):
    assert cut_impression(report) == (impression, difference)


@pytest.mark.parametrize(
    "report",
    [
        " FINDINGS: My impression: normal. No acute process.",
        "\n IMPRESSION:\n \n",
        "\n IMPRESSION: \n\n RECOMMENDATION: CT.",
        "\n COMPRESSION: of the lung.",
        "No heads at all, the impression is normal.",
        "",
    ],
)
def test_a_report_may_have_no_impression(report):
    assert cut_impression(report) is None


def test_reports_that_mimics_authors_cut_by_hand():
    report = "\n EXAM: Mild edema.\n\n FINDINGS: Clear."
    assert cut_impression(report) is None
    assert cut_impression(report, "59363654") == ("Mild edema.", BY_HAND)
    assert cut_impression("x" * 59 + " Mild edema." + "y" * 900, "56579911").text[:11] == "Mild edema."
    assert cut_impression("\n IMPRESSION: x", "58235663") is None
