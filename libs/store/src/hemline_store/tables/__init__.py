"""The sample tables: images, labels and predictions of one classifier in its lake.

Needs the extra ``hemline-store[tables]`` (Lance, Arrow, DuckDB, NumPy).
"""

from hemline_store.tables._import import Imported
from hemline_store.tables._index import IMPORT, STREAM, TEST, TRAIN, VALIDATION, SampleIndex
from hemline_store.tables._rows import ImageRow, ImportItem, LabelRow, PredictionRow
from hemline_store.tables._samples import WINDOW, Samples
from hemline_store.tables._settings import TableSettings
from hemline_store.tables._summary import ClassCount, Summary, VersionAccuracy
from hemline_store.tables._upkeep import Cleaned, Compacted, Expired

__all__ = [
    "IMPORT",
    "STREAM",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "WINDOW",
    "ClassCount",
    "Cleaned",
    "Compacted",
    "Expired",
    "ImageRow",
    "ImportItem",
    "Imported",
    "LabelRow",
    "PredictionRow",
    "SampleIndex",
    "Samples",
    "Summary",
    "TableSettings",
    "VersionAccuracy",
]
