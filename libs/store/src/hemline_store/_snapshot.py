"""A snapshot of the sample tables: declared in ``hemline_api``, because reports and requests carry it too."""

from hemline_api.report import SnapshotRef as Snapshot

__all__ = ["Snapshot"]
