"""A paper table as CSV (every number), and as Markdown and LaTeX (what a page holds, and the notes)."""

from pathlib import Path

from tradeoffs.data.tables import write_table
from tradeoffs.files import atomic_path
from tradeoffs.paper.blocks import PaperTable
from tradeoffs.paper.formatting import markdown_table
from tradeoffs.paper.latex import to_latex


def write(table: PaperTable, csv: str | Path, markdown: str | Path, latex: str | Path) -> None:
    """Writes the table in its three formats."""
    write_table(table.rows, csv)
    for path, text in ((markdown, to_markdown(table)), (latex, to_latex(table, Path(latex).stem))):
        with atomic_path(path) as temporary:
            temporary.write_text(text)


def to_markdown(table: PaperTable) -> str:
    """A heading, each block under its own, then the notes as a list."""
    parts = [f"# {table.title}"]
    for block in table.blocks:
        align = ["left"] * block.labels + ["right"] * (block.cells.shape[1] - block.labels)
        parts += [f"**{block.heading}**", markdown_table(block.cells, align)]
    parts.append("\n".join(f"- {note}" for note in table.notes))
    return "\n\n".join(parts) + "\n"
