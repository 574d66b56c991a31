"""Labels as class indices: a name is looked up, an index must be in range, anything else is unknown."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from hemline_store._errors import InvalidOption

__all__ = ["checked_classes", "define_resolved"]


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The class names, index by index.

    Raises:
        InvalidOption: there are none, or a name repeats.
    """
    names = tuple(classes)
    if isinstance(classes, str) or not names or len(set(names)) != len(names):
        raise InvalidOption(
            f"classes are {classes!r:.200}; expected the class names, each once, in order of their index"
        )
    return names


def define_resolved(connection: Any, classes: tuple[str, ...]) -> None:
    """Define ``resolved``: the join with ``class``, the standing label's class index (NULL: none or unknown)."""
    names = pa.table({"name": pa.array(classes, pa.string()), "index": range(len(classes))})
    connection.register("class_names_arrow", names)
    connection.execute(
        "CREATE OR REPLACE TABLE class_names AS SELECT name, index::INTEGER AS index FROM class_names_arrow"
    )
    connection.unregister("class_names_arrow")
    connection.execute(
        f"""
        CREATE OR REPLACE VIEW resolved AS
        SELECT joined.*,
               CASE WHEN l_stands IS NOT TRUE THEN NULL
                    WHEN l_name IS NOT NULL THEN class_names.index
                    WHEN l_label < {len(classes)} THEN l_label
               END AS class
        FROM joined LEFT JOIN class_names ON class_names.name = joined.l_name
        """
    )
