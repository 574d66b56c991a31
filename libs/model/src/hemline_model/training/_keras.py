"""The one place that imports Keras, so that its set-up happens before its first import."""

import os
import warnings

from hemline_model._errors import MissingExtra

__all__ = ["keras"]

# Both are read once, when TensorFlow is loaded; what a user has set is left alone.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

try:
    with warnings.catch_warnings():
        # Deprecations inside TensorFlow are not ours to mend, nor for a user to read.
        warnings.simplefilter("ignore")
        import keras
except ImportError as error:
    raise MissingExtra(
        f"training needs Keras and its backend, and {error.name or error} is not installed: "
        "install hemline-model[train]"
    ) from error
