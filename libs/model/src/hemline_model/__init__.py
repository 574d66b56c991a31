"""Train, judge and serve a small image classifier on your own data.

Everything here but the user functions that train works without TensorFlow; `hemline_model.training`
holds what needs it, and is imported on first use.
"""

from hemline_model._card import Card, FileEntry, read_card
from hemline_model._contract import InputContract
from hemline_model._data import (
    Dataset,
    Images,
    Problem,
    Sample,
    Split,
    dataset,
    dataset_from,
    find_problems,
)
from hemline_model._decode import MAX_PIXELS, bring_to_contract, decode
from hemline_model._errors import (
    BadDataset,
    BadImage,
    BadModel,
    BadSettings,
    MissingExtra,
    ModelError,
    Stopped,
)
from hemline_model._evaluate import ClassScore, Evaluation, Mistake, evaluate
from hemline_model._functions import Answer, export, inspect, predict, test, train
from hemline_model._pretrained import pretrained
from hemline_model._serving import Classifier, Predictions, load
from hemline_model._split import split_of

__all__ = [
    "MAX_PIXELS",
    "Answer",
    "BadDataset",
    "BadImage",
    "BadModel",
    "BadSettings",
    "Card",
    "ClassScore",
    "Classifier",
    "Dataset",
    "Evaluation",
    "FileEntry",
    "Images",
    "InputContract",
    "MissingExtra",
    "Mistake",
    "ModelError",
    "Predictions",
    "Problem",
    "Sample",
    "Split",
    "Stopped",
    "bring_to_contract",
    "dataset",
    "dataset_from",
    "decode",
    "evaluate",
    "export",
    "find_problems",
    "inspect",
    "load",
    "predict",
    "pretrained",
    "read_card",
    "split_of",
    "test",
    "train",
]
