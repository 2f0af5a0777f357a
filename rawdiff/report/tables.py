"""Tables of figures as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass
class Table:
    """Figures with names: one row a dictionary from column to cell.

    Attributes:
        title: what it shows, in one line.
        columns: in the order they are shown; a row may lack some.
        rows: the cells.
        notes: what has to be known to read it.
        digits: decimals of a column's numbers, 2 where it is not named.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    digits: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Title, rows and notes, the numbers unrounded."""
        return {"title": self.title, "rows": self.rows, "notes": self.notes}

    def as_text(self) -> str:
        """Aligned columns."""
        cells = self._cells()
        widths = [max(len(line[place]) for line in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        return "\n".join(
            [self.title, *(f"  {line}" for line in lines), *(f"  ({note})" for note in self.notes)]
        )

    def as_markdown(self) -> str:
        """A Markdown table under its title."""
        head, *body = self._cells()
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines = [f"| {' | '.join(line)} |" for line in (head, rule, *body)]
        return "\n".join([f"**{self.title}**", "", *lines, "", *self.notes])

    def _cells(self) -> list[list[str]]:
        return [
            [*self.columns],
            *([self._show(column, row.get(column)) for column in self.columns] for row in self.rows),
        ]

    def _show(self, column: str, cell: Cell) -> str:
        if cell is None:
            return ""
        return f"{cell:.{self.digits.get(column, 2)}f}" if isinstance(cell, float) else str(cell)


def join_markdown(tables: Sequence[Table]) -> str:
    """All tables as one Markdown text."""
    return "\n\n".join(table.as_markdown() for table in tables) + "\n"
