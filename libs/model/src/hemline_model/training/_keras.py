"""The one place that imports Keras, so that its set-up happens before its first import."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from hemline_model._errors import BadSettings, MissingExtra

__all__ = ["keras"]

# Both are read once, when TensorFlow is loaded; what a user has set is left alone.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a moment.

    TensorFlow's C++ writes notices there while it is loaded, before any log level applies, and they
    would bury the one line that a person should read. Python's own errors are exceptions and pass.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


try:
    with warnings.catch_warnings(), _silent_stderr():
        # Deprecations inside TensorFlow are not ours to mend, nor for a user to read.
        warnings.simplefilter("ignore")
        import keras
except ImportError as error:
    raise MissingExtra(
        f"training needs Keras and its backend, and {error.name or error} is not installed: "
        "install hemline-model[train]"
    ) from error
except ValueError as error:
    raise BadSettings(
        f"Keras cannot be loaded with KERAS_BACKEND={os.environ['KERAS_BACKEND']}: "
        f"{' '.join(str(error).split())}; expected tensorflow, jax or torch"
    ) from error
