"""``hemline query``: SQL over the lake."""

from typing import Annotated

import typer

from hemline._place import StateOption
from hemline.commands._lake import ClassifierOption, LakeOption, find_lake
from hemline.commands._output import Form, form_of, print_rows
from hemline_store import Lake
from hemline_store.tables import Samples

__all__ = ["query"]


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="A SELECT over images, labels, predictions, samples (images with their label) and answered "
            "(answers with the true label)."
        ),
    ],
    state: StateOption = None,
    lake: LakeOption = None,
    classifier: ClassifierOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a row instead of a table.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
) -> None:
    """Ask the lake with SQL (DuckDB's dialect).

    Examples:

      hemline query "select model_version, count(*), avg(correct) from answered group by 1"

      hemline query "select label_name, count(*) from samples group by 1 order by 2" --csv

      hemline query "describe answered"
    """
    uri, name = find_lake(state, lake, classifier)
    samples = Samples.open(Lake(uri, name))
    try:
        table = samples.query(sql)
    finally:
        samples.close()
    columns = list(table.column_names)
    rows = [tuple(row[column] for column in columns) for row in table.to_pylist()]
    form = form_of(as_json=as_json, as_csv=as_csv)
    print_rows(columns, rows, form)
    if not rows and form is Form.TABLE:
        print("(no rows)")
