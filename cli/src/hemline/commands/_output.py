"""Rows on the screen: a table for people, JSON or CSV for programs."""

import csv
import json
import sys
from collections.abc import Sequence
from enum import StrEnum

from rich.console import Console
from rich.table import Table

__all__ = ["Form", "form_of", "print_rows"]


class Form(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def form_of(*, as_json: bool, as_csv: bool) -> Form:
    """The form that the options ask for; JSON when both do."""
    if as_json:
        return Form.JSON
    return Form.CSV if as_csv else Form.TABLE


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], form: Form) -> None:
    """Print rows on stdout. Values are printed as they are: markup in them means nothing."""
    match form:
        case Form.JSON:
            for row in rows:
                line = dict(zip(columns, row, strict=True))
                print(json.dumps(line, default=str, ensure_ascii=False))
        case Form.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        case Form.TABLE:
            _print_table(columns, rows)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        numbers = bool(rows) and all(
            row[place] is None or isinstance(row[place], int | float) for row in rows
        )
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # a pipe has no width: nothing is wrapped or cut there
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 100_000
    console.print(table, soft_wrap=not console.is_terminal)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return str(value)
