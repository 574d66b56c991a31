"""From a Keras model to a model directory: `model.keras`, `model.onnx`, `card.json`."""

import contextlib
import importlib.metadata
import importlib.util
import io
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hemline_model._card import Card, describe_file, read_card, read_verified, write_card
from hemline_model._contract import InputContract
from hemline_model._data import Split
from hemline_model._decode import ImageArray
from hemline_model._errors import BadModel, BadSettings, MissingExtra, ModelError
from hemline_model._serving import load
from hemline_model.training._calibrate import Logits, predict_logits
from hemline_model.training._keras import keras
from hemline_model.training._quantize import Comparison, answers_of_graph, quantize

__all__ = ["check_converter", "check_export", "export", "load_model"]

_KERAS, _ONNX, _INT8 = "model.keras", "model.onnx", "model.int8.onnx"
_TOLERANCE = 1e-4
# What Keras needs to export from each backend; from JAX it goes by way of TensorFlow's tracing all the same.
_CONVERTERS = {"tensorflow": ("tf2onnx",), "jax": ("jax2onnx", "tensorflow")}
_PACKAGES = ("hemline-model", "keras", "tensorflow-cpu", "onnxruntime", "numpy")


def load_model(directory: Path) -> Any:
    """Load the trainable Keras model of a model directory; the file is verified and runs no code.

    Raises:
        BadModel: incomplete, altered, or not loadable in Keras's safe mode.
    """
    card = read_card(directory)
    data = read_verified(directory, card, _KERAS)
    with tempfile.TemporaryDirectory() as scratch:
        # Keras takes a path only: a private copy of the very bytes that were verified.
        path = Path(scratch, _KERAS)
        path.write_bytes(data)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:
            reason = str(error).strip().split("\n", 1)[0][:200]
            raise BadModel(f"Keras refuses {directory / _KERAS}: {reason}") from error


def check_converter() -> None:
    """Check, before any training, that what writes the serving graph is installed.

    Raises:
        MissingExtra: it is not, for the backend that Keras runs on.
    """
    backend = keras.backend.backend()
    for package in _CONVERTERS.get(backend, ("onnx",)):
        if importlib.util.find_spec(package) is None:
            extra = "train,jax" if backend == "jax" else "train"
            other = ", or train on TensorFlow (KERAS_BACKEND=tensorflow)"
            raise MissingExtra(
                f"a model trained on Keras's {backend} backend is exported with {package}, which is not "
                f"installed: install {package} or hemline-model[{extra}]"
                f"{'' if backend == 'tensorflow' else other}"
            )


def check_export(model: Any) -> None:
    """Check, before any training, that a network becomes a graph that answers as it does.

    Raises:
        BadSettings: it cannot be converted, or answers otherwise.
    """
    shape = model.input_shape[1:]
    samples = np.random.default_rng(0).integers(0, 256, (8, *shape), np.uint8)
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        try:
            _write_onnx(model, Path(scratch, _ONNX))
            session = ort.InferenceSession(Path(scratch, _ONNX), providers=["CPUExecutionProvider"])
            received = session.run(None, {session.get_inputs()[0].name: samples})[0]
            _check_difference(predict_logits(model, samples), received)
        except Exception as error:  # each converter raises kinds of its own
            raise BadSettings(
                f"the network cannot be exported to be served: {_reason(error)}"
            ) from error


def _reason(error: Exception) -> str:
    """The line that says why; Keras puts where before it, and colours for a terminal around it."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()
    told = (line.strip() for line in lines if not line.startswith("Exception encountered when"))
    return next(filter(None, told), type(error).__name__)[:200]


def export(
    model: Any,
    card_fields: Mapping[str, Any],
    out_dir: Path,
    *,
    samples: ImageArray | None = None,
    int8: Split | None = None,
) -> Card:
    """Write a model directory and check that what will be served answers as what was trained.

    `card_fields` are fields of `Card`; `classes` is needed, `input`, `versions` and `files` are
    filled in. `samples` are images to compare the two on; random ones when not given. With `int8`,
    a labelled split of real images (1,000 or more are wanted), an 8-bit graph is written too,
    faster on processors that have instructions for it. It is kept unless it turns more of that
    split's images from right to wrong than from wrong to right by over 0.3 points, and by more than
    chance explains. The card says how it did: the metrics `int8_accuracy_change` and
    `int8_agreement` (the fraction of images that both graphs take for the same) and, in the
    parameters, `int8`: the images compared, how many turned wrong and how many turned right. The
    directory appears complete or not at all, and must not hold anything yet.

    Raises:
        ModelError: the exported graph's logits differ from the model's by more than 1e-4 (relative
            to the largest).
        MissingExtra: what exports a model of Keras's backend is not installed.
    """
    check_converter()
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ModelError(f"{out_dir} is not empty; expected a new directory for the model")
    height, width, channels = model.input_shape[1:]
    contract = InputContract.model_validate(
        {"height": height, "width": width, "channels": channels}
    )
    if samples is None:
        samples = np.random.default_rng(0).integers(0, 256, (64, *contract.shape), np.uint8)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        scratch.chmod(0o755)
        with _quiet():
            _without_optimizer(model).save(scratch / _KERAS)
            _write_onnx(model, scratch / _ONNX)
            compared = _write_int8(scratch, int8) if int8 is not None else None
        names = (path.name for path in sorted(scratch.iterdir()))
        card = Card.model_validate(
            {
                **card_fields,
                **_with_comparison(card_fields, compared),
                "input": contract,
                "versions": _versions(),
                "files": {name: describe_file(scratch / name) for name in names},
            }
        )
        write_card(card, scratch)
        card = read_card(scratch)
        served = load(scratch, precision="float32").logits(samples)
        _check_difference(predict_logits(model, samples), served)
        if out_dir.exists():
            out_dir.rmdir()
        scratch.rename(out_dir)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return card


def _without_optimizer(model: Any) -> Any:
    # A compiled model is saved with its optimizer's state, three times the size of its weights.
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    return bare


def _write_onnx(model: Any, path: Path) -> None:
    raw = path.with_suffix(".raw.onnx")
    signature = [
        keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="uint8", name="images")
    ]
    model.export(raw, format="onnx", verbose=False, input_signature=signature)
    # Folds the normalisations into the convolutions, once and for every processor.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    ort.InferenceSession(str(raw), options, providers=["CPUExecutionProvider"])
    raw.unlink()


def _write_int8(directory: Path, split: Split) -> Comparison:
    target = directory / _INT8
    quantize(directory / _ONNX, target, split)
    original, quantized = (answers_of_graph(path, split) for path in (directory / _ONNX, target))
    compared = Comparison.of(original, quantized, split.labels)
    if not compared.acceptable:
        target.unlink()
    return compared


def _with_comparison(
    card_fields: Mapping[str, Any], compared: Comparison | None
) -> dict[str, dict[str, Any]]:
    metrics, parameters = (dict(card_fields.get(key, {})) for key in ("metrics", "parameters"))
    if compared is not None:
        metrics["int8_accuracy_change"] = round(compared.change, 6)
        metrics["int8_agreement"] = round(compared.alike / max(1, compared.images), 6)
        parameters["int8"] = {
            "images": compared.images,
            "turned_wrong": compared.lost,
            "turned_right": compared.gained,
        }
    return {"metrics": metrics, "parameters": parameters}


def _check_difference(expected: Logits, received: Logits) -> None:
    difference = float(np.abs(expected - received).max() / max(1.0, np.abs(expected).max()))
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"the exported graph's logits differ from the model's by {difference:.1e}; expected at "
            f"most {_TOLERANCE:.0e}: the export is not usable"
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters' own chatter from the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
