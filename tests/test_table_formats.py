"""How tables of the paper are read and written: digits, Markdown, LaTeX, CSV and its dictionary."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from paper_rows import COMPARED, CXR, DATASETS, FIDELITY, MAIN, SUMMARIES, VARIANTS, first_table

from tradeoffs.data.tables import keyed, write_table
from tradeoffs.paper.blocks import Block, PaperTable
from tradeoffs.paper.dictionary import dictionary
from tradeoffs.paper.formatting import decimals, estimate, fixed, p_clause, p_value, signed, significant
from tradeoffs.paper.latex import to_latex
from tradeoffs.paper.rendering import to_markdown, write
from tradeoffs.paper.results import read_counts, read_differences, read_results
from tradeoffs.paper.tables import differences_table, findings_table, grounding_table, table3, table7


def test_numbers_have_fitting_digits_deviation_and_interval():
    nan = float("nan")
    assert estimate(nan, 1, 1, 1, 3) == "–"
    assert estimate(0.12345, nan, nan, nan, 3) == "0.123"
    assert estimate(-0.0001, 0.01, -0.02, 0.0, 3) == "0.000 ± 0.010 [−0.020, 0.000]"
    assert estimate(102.04, 2.83, nan, nan, 1) == "102.0 ± 2.8"
    assert [fixed(-0.5, 1), significant(-0.123456), significant(1234.5)] == ["−0.5", "−0.1235", "1234"]
    assert [signed(value) for value in (0.0, 0.1, -0.0002)] == ["+0.000", "+0.100", "−0.000200"]
    assert [decimals(pd.Series(values)) for values in ([9.9, -10.0], [0.01, 0.06, nan], [0.01, -0.04])] == [1, 3, 4]
    assert [p_value(p) for p in (1.0, 0.001, 0.00099, nan)] == ["1.000", "0.001", "< 0.001", "–"]
    assert [p_clause(p) for p in (0.25, 0.00099, nan)] == ["p = 0.250", "p < 0.001", "no p value"]


def small_table():
    shown = pd.DataFrame({"Variant": ["a_b", "50 % & more"], "FID ↓": ["1.0 ± 0.1", "–"]})
    rows = pd.DataFrame({"data": ["Demo: scenes"] * 2, "value": [1 / 3, np.nan], "n": [7, 8]})
    return PaperTable("Table 9. A_b & {c}", rows, [Block("Block #1", shown, labels=1)], ["first ± note", "second_note"])


def test_markdown_has_headings_aligned_cells_and_notes():
    lines = to_markdown(small_table()).splitlines()
    assert lines[0] == "# Table 9. A_b & {c}" and "**Block #1**" in lines
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == ["a_b", "1.0 ± 0.1"]
    assert lines[5].startswith("|:--") and lines[5].endswith("-:|")  # labels to the left, numbers to the right
    assert lines[-2:] == ["- first ± note", "- second_note"]


def test_a_bar_in_a_heading_or_a_cell_does_not_end_it():
    cells = pd.DataFrame({"Variant": ["a|b"], "|CNR| ↑": ["1.2"]})
    lines = to_markdown(PaperTable("T", pd.DataFrame(), [Block("B", cells, 1)], [])).splitlines()
    assert [cell.strip() for cell in lines[4].split(" | ")] == ["| Variant", "\\|CNR\\| ↑ |"] and "a\\|b" in lines[6]


def test_latex_is_escaped_and_has_a_caption_and_a_label_for_each_block():
    table = small_table()
    text = to_latex(PaperTable(table.title, table.rows, [*table.blocks] * 2, table.notes), "table9")
    assert r"\caption{A\_b \& \{c\} Block \#1.}\label{tab:table9} \\" in text and r"\label{tab:table9:2}" in text
    assert r"\begin{longtable}{lr}" in text and r"Variant & FID~$\downarrow$ \\" in text
    assert "\na\\_b & 1.0 $\\pm$ 0.1 \\\\\n50 \\% \\& more & -- \\\\\n" in text
    assert r"first $\pm$ note" in text and r"second\_note" in text and text.isascii()


def test_latex_that_would_be_too_wide_has_intervals_below_their_means():
    score = "0.853 ± 0.004 [0.831, 0.870]"
    narrow, wide = (
        to_latex(
            PaperTable("T", pd.DataFrame(), [Block("B", pd.DataFrame({f"S{i}": [score] for i in range(n)}), 0)], []),
            "t",
        )
        for n in (3, 9)
    )
    assert r"0.853 $\pm$ 0.004 [0.831, 0.870] &" in narrow
    assert r"\shortstack[r]{{0.853 $\pm$ 0.004}\\{[0.831, 0.870]}} &" in wide


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_fits_on_its_page(tmp_path):
    write(first_table(), *(tmp_path / f"table1.{suffix}" for suffix in ("csv", "md", "tex")))
    packages = r"\usepackage{booktabs,longtable,pdflscape}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{table1}}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    log = [subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout for _ in range(2)][1]
    assert "Overfull" not in log and "Warning" not in log


def test_every_format_of_every_table_is_ascii_latex_and_names_the_demo(tmp_path):
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(first_table(), *paths)
    assert all("Demo: phantom radiographs" in path.read_text() for path in paths)
    assert paths[2].read_text().isascii()
    content = [path.read_bytes() for path in paths]
    write(first_table(), *paths)
    assert [path.read_bytes() for path in paths] == content


def test_the_dictionary_tells_what_each_column_of_each_table_means():
    arguments = SUMMARIES, VARIANTS, [], CXR, "corrected"
    tables = [first_table(), grounding_table("T", *arguments), table7("T", *arguments)]
    tables.append(table3("T", SUMMARIES, FIDELITY, VARIANTS, CXR, "corrected", COMPARED))
    tables.append(findings_table("T", FIDELITY, MAIN, CXR, COMPARED))
    for table in tables:
        words = dictionary(table.rows.columns).set_index("column")
        assert words.index.tolist() == table.rows.columns.tolist() and (words["meaning"] != "").all()
    words = dictionary(["auc_roc_micro_low", "fid_general_sd", "n", "label_auc"]).set_index("column")
    assert words.loc["auc_roc_micro_low", "meaning"].endswith("micro mean")
    assert "lower end of the 95 % interval" in words.loc["auc_roc_micro_low", "statistic"]
    assert words["better"].tolist() == ["higher", "lower", "", "higher"]
    with pytest.raises(KeyError):
        dictionary(["unheard_of"])


def test_csv_has_six_digits_and_empty_cells(tmp_path):
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(small_table(), *paths)
    assert paths[0].read_text() == "data,value,n\nDemo: scenes,0.333333,7\nDemo: scenes,,8\n"


def test_results_are_read_one_under_the_other(tmp_path):
    rows = [{"dataset": "cxr", "seed": 0, "value": 1.0}, {"dataset": "coco", "seed": 1, "value": 2.0}]
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, row in zip(paths, rows, strict=True):
        write_table(keyed(pd.DataFrame([{"value": row["value"]}]), dataset=row["dataset"], seed=row["seed"]), path)
    assert read_results(paths).to_dict("records") == rows


def test_without_a_pair_of_variants_the_table_of_differences_is_empty(tmp_path):
    table = differences_table("Differences", read_differences([]), DATASETS, "corrected")
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(table, *paths)
    header = "data,frozen,learnable,protocol,text,group,metric,difference,low,high,p,n,subjects\n"
    assert paths[0].read_text() == header and "counterpart" in table.notes[0]


def test_counts_are_named_by_data_set(tmp_path):
    for dataset, kept in (("cxr", 3), ("coco", 4)):
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / "images_counts.csv").write_text(f"reason,count\nread,5\nkept,{kept}\n")
    counts = read_counts([tmp_path / "cxr" / "images_counts.csv", tmp_path / "coco" / "images_counts.csv"])
    assert counts == {"cxr/images_counts": {"read": 5, "kept": 3}, "coco/images_counts": {"read": 5, "kept": 4}}
