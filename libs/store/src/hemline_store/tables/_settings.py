"""What the sample tables may cost."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from hemline_store._errors import InvalidOption

__all__ = ["TableSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """Bounds on memory and threads; the defaults fit a small pod beside other work."""

    join_memory: str = "2GB"
    """What DuckDB may hold for the joined tables (some 500 MB for a million samples); more goes to scratch files."""
    scratch: Path | None = None
    """Folder for those scratch files; None: the system's folder for temporary files."""
    threads: int = 2
    """Threads of DuckDB: joins are short, the other cores are the service's."""
    metadata_cache_bytes: int = 128 << 20
    """Lance's cache of manifests and file footers (its own default, 1 GiB, outgrows a small pod)."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.threads < 1 or self.metadata_cache_bytes < 1:
            raise InvalidOption(
                f"threads {self.threads} and metadata_cache_bytes {self.metadata_cache_bytes}; expected at least 1"
            )

    def connect(self) -> Any:
        """A DuckDB in memory that keeps these bounds and reaches no file but its scratch ones."""
        scratch = (self.scratch or Path(tempfile.gettempdir())) / f"hemline-join-{uuid4().hex[:12]}"
        connection: Any = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": self.join_memory,
                "threads": str(self.threads),
                "temp_directory": str(scratch),
                "python_enable_replacements": "false",
            },
        )
        # Together with a scratch folder this cannot be given at the start.
        connection.execute("SET enable_external_access = false")
        return connection
