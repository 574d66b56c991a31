"""Data sets by name or path."""

from hemline_model._data._checks import find_problems
from hemline_model._data._open import dataset
from hemline_model._data._types import Dataset, Images, Problem, Split

__all__ = ["Dataset", "Images", "Problem", "Split", "dataset", "find_problems"]
