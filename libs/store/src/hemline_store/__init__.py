"""The lake: sample tables, snapshots and model versions on a disk or an object store."""

__all__: list[str] = []
