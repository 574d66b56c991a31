"""Data sets by name or path."""

from hemline_model._data._checks import find_problems
from hemline_model._data._open import dataset
from hemline_model._data._samples import Sample, dataset_from
from hemline_model._data._types import Dataset, Images, Problem, Split

__all__ = [
    "Dataset",
    "Images",
    "Problem",
    "Sample",
    "Split",
    "dataset",
    "dataset_from",
    "find_problems",
]
