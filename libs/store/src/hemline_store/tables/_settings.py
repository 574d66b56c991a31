"""What the sample tables may cost."""

from dataclasses import dataclass

from hemline_store._errors import InvalidOption

__all__ = ["TableSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """Bounds on memory and threads; the defaults fit a small pod beside other work."""

    join_memory: str = "2GB"
    """What DuckDB may use for the joined tables; about 300 MB for a million samples."""
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
