"""Numbers, p values and names as people read them, in tables, figures and sentences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MISSING = "–"
MEANS = {"micro": "micro mean", "macro": "macro mean"}


def markdown_table(cells: pd.DataFrame, align: Sequence[str] | None = None) -> str:
    """A table of texts in Markdown, where a bar in a cell or heading, such as that of |CNR|, does not end it.

    align: left or right, by column
    """
    escaped = cells.rename(columns=_without_bars).map(_without_bars)
    return escaped.to_markdown(index=False, disable_numparse=True, colalign=align)


def _without_bars(cell: object) -> str:
    return str(cell).replace("|", "\\|")


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals and a true minus sign, never −0.000."""
    return f"{value:z.{digits}f}".replace("-", "−")


def significant(value: float) -> str:
    """A number of any size to four digits."""
    return np.format_float_positional(value, 4, unique=False, fractional=False, trim="-").replace("-", "−")


def signed(value: float) -> str:
    """A difference with its sign, to three decimals, or six where a bound just beside 0 would read as 0."""
    digits = 3 if value == 0 or abs(value) >= 0.0005 else 6
    return f"{value:+.{digits}f}".replace("-", "−")


def estimate(mean: float, sd: float, low: float, high: float, digits: int) -> str:
    """A cell such as "0.853 ± 0.004 [0.831, 0.870]"; parts that are NaN are left out, a NaN mean is an en dash."""
    if pd.isna(mean):
        return MISSING
    text = fixed(mean, digits)
    if not pd.isna(sd):
        text += f" ± {sd:.{digits}f}"
    if not pd.isna(low):
        text += f" [{fixed(low, digits)}, {fixed(high, digits)}]"
    return text


def decimals(means: pd.Series) -> int:
    """Decimals that suit a column of numbers: 1 for tens and more, 4 if all are below 0.05, else 3."""
    largest = means.abs().max()
    return 1 if largest >= 10 else 4 if largest < 0.05 else 3


def p_value(p: float) -> str:
    """A p value with three decimals, "< 0.001" below that."""
    if pd.isna(p):
        return MISSING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def p_clause(p: float) -> str:
    """A p value with its name: "p = 0.004", "p < 0.001" or "no p value"."""
    text = p_value(p)
    return "no p value" if text == MISSING else f"p {text}" if text.startswith("<") else f"p = {text}"


def count(value: float) -> str:
    """A whole number, or an en dash."""
    return MISSING if pd.isna(value) else f"{int(value)}"


def readable(label: str) -> str:
    """A variant's, method's, group's or other label as people read it; an en dash for an empty one."""
    return MEANS.get(label, label.replace("_", " ")) or MISSING
