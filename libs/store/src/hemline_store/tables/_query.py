"""SQL over a snapshot: views of the tables and of their join, in a DuckDB that can reach nothing else."""

from typing import Any, Final

import duckdb
import pyarrow as pa

from hemline_store._errors import BadQuery, OutOfSpace
from hemline_store.tables._settings import TableSettings

__all__ = ["run_query"]

# All times are UTC without a zone: DuckDB needs an extension for arithmetic on times with one.
_VIEWS: Final = """
CREATE VIEW images AS
    SELECT id, "group", content_type, origin, split, received_at::TIMESTAMP AS received_at FROM images_table;
CREATE VIEW labels AS
    SELECT * REPLACE (time::TIMESTAMP AS time, received_at::TIMESTAMP AS received_at) FROM labels_table;
CREATE VIEW predictions AS
    SELECT * REPLACE (received_at::TIMESTAMP AS received_at, predicted_at::TIMESTAMP AS predicted_at)
    FROM predictions_table;
CREATE VIEW samples AS
    SELECT id,
           CASE origin WHEN 1 THEN 'stream' ELSE 'import' END AS origin,
           CASE split WHEN 0 THEN 'train' WHEN 1 THEN 'validation' ELSE 'test' END AS split,
           make_timestamp(i_received) AS received_at,
           class AS label, class_name AS label_name,
           CASE WHEN class IS NOT NULL THEN make_timestamp(l_time) END AS labelled_at
    FROM joined WHERE row IS NOT NULL;
CREATE VIEW answered AS
    SELECT id, p_version AS model_version, p_label AS predicted, p_name AS predicted_name,
           class AS label, class_name AS label_name, (p_label = class)::INTEGER AS correct,
           p_confidence AS confidence,
           make_timestamp(p_received) AS received_at, make_timestamp(p_time) AS predicted_at,
           CASE WHEN class IS NOT NULL THEN make_timestamp(l_time) END AS labelled_at
    FROM joined WHERE p_time IS NOT NULL;
"""


def run_query(
    sql: str, tables: dict[str, Any], joined: pa.Table, settings: TableSettings
) -> pa.Table:
    """Run one SELECT.

    Args:
        sql: the query.
        tables: Lance data sets by the name of their view; only the columns and rows that a query needs are read.
        joined: the joined tables with ``class`` and ``class_name``.
        settings: how much memory and how many threads DuckDB may use.

    Raises:
        BadQuery: DuckDB does not understand it, or it is no SELECT.
        OutOfSpace: it needs more memory and scratch space than it may use.
    """
    connection = settings.connect()
    try:
        for name, data in tables.items():
            connection.register(f"{name}_table", data)
        connection.register("joined", joined)
        connection.execute(_VIEWS)
        connection.execute("SET lock_configuration = true")
        return _select(connection, sql)
    finally:
        connection.close()


def _select(connection: Any, sql: str) -> pa.Table:
    try:
        kinds = [statement.type for statement in connection.extract_statements(sql)]
        if len(kinds) != 1 or kinds[0] not in (
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        ):
            received = ", ".join(kind.name for kind in kinds) or "nothing"
            raise BadQuery(
                f"the query holds {received}; expected one SELECT over images, labels, predictions, samples or answered"
            )
        return connection.sql(sql).to_arrow_table()
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise OutOfSpace(f"the query needs too much: {_one_line(error)}") from error
    except duckdb.Error as error:
        raise BadQuery(f"the query cannot be run: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
