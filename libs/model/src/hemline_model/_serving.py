"""The serving runtime: a model directory in, predictions out, without TensorFlow."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from hemline_model._card import Card, read_card, read_verified
from hemline_model._decode import ImageArray, bring_to_contract, decode
from hemline_model._errors import BadImage, BadModel

__all__ = ["GRAPH", "INT8_GRAPH", "Classifier", "Precision", "Predictions", "load", "softmax"]

GRAPH, INT8_GRAPH = "model.onnx", "model.int8.onnx"
_CHUNK = 256
_FATAL_ONLY = 4

Precision = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a batch of N images was taken for, among K classes.

    `labels` int64 (N,): index of the likeliest class. `confidence` float32 (N,): its probability.
    `probabilities` float32 (N, K): calibrated by the card's temperature; rows sum to 1.
    """

    labels: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


class Classifier:
    """One loaded model version. `predict` may be called from several threads at once.

    Memory grows with the largest batch an engine has seen, so `predict` cuts what it is given into
    pieces of at most 256 images.
    """

    def __init__(self, card: Card, session: ort.InferenceSession, precision: Precision) -> None:
        self.card = card
        self.precision = precision
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def predict(self, images: ImageArray) -> Predictions:
        """Classify uint8 images (N, height, width, channels).

        Raises:
            BadImage: another dtype or shape than the card's input contract.
        """
        logits = self.logits(images)
        probabilities = softmax(logits / np.float32(self.card.temperature))
        labels = probabilities.argmax(axis=1)
        return Predictions(
            labels.astype(np.int64, copy=False), probabilities.max(axis=1), probabilities
        )

    def predict_encoded(self, images: Sequence[bytes | ImageArray]) -> Predictions:
        """Classify the bytes of PNG, JPEG, WebP or .npy files, or pixels of any size, in order.

        Raises:
            BadImage: one of them is no image that can be taken; its position is named.
        """
        batch = np.empty((len(images), *self.card.input.shape), np.uint8)
        for place, image in enumerate(images):
            try:
                if isinstance(image, np.ndarray):
                    batch[place] = bring_to_contract(image, self.card.input)
                else:
                    batch[place] = decode(image, self.card.input)
            except BadImage as error:
                raise BadImage(f"image {place}: {error}") from error
        return self.predict(batch)

    def logits(self, images: ImageArray) -> npt.NDArray[np.float32]:
        """Raw outputs float32 (N, K) for uint8 images (N, height, width, channels).

        Raises:
            BadImage: another dtype or shape than the card's input contract.
        """
        shape = self.card.input.shape
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
            raise BadImage(
                f"received {images.dtype} images of the shape {images.shape}; expected uint8 "
                f"(N, {shape[0]}, {shape[1]}, {shape[2]}): `decode` brings images to that shape"
            )
        parts = [
            self._session.run([self._output], {self._input: images[start : start + _CHUNK]})[0]
            for start in range(0, len(images), _CHUNK)
        ]
        if not parts:
            return np.empty((0, len(self.card.classes)), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def name_of(self, label: int) -> str:
        """Name of the class with that index."""
        return self.card.classes[label]

    def names_of(self, labels: Sequence[int] | npt.NDArray[np.int64]) -> list[str]:
        """Names of the classes with those indices."""
        return [self.card.classes[int(label)] for label in labels]


def load(
    directory: str | os.PathLike[str],
    threads: int = 1,
    *,
    precision: Precision | Literal["auto"] = "auto",
) -> Classifier:
    """Load the model version in `directory` for serving.

    The graph's checksum is compared with the card's, and only the bytes that were checked are given
    to the engine. Nothing in a model directory is executed: the graph is data, and operators that
    the engine does not know are refused. The engine works on `threads` threads and does not spin
    while it waits for work, which leaves the processor to the rest of the pipeline. With `precision`
    "auto", an 8-bit graph is used where the model has one and the processor has instructions for it
    (on others it would be slower, and on some of them saturate).

    Raises:
        BadModel: the directory is incomplete, altered, or holds another graph than its card says.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected at least 1")
    path = Path(directory)
    card = read_card(path)
    if precision == "auto":
        precision = "int8" if INT8_GRAPH in card.files and _multiplies_int8() else "float32"
    name = INT8_GRAPH if precision == "int8" else GRAPH
    graph = read_verified(path, card, name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise BadModel(f"the engine refuses {path / name}: {reason}") from error
    _check_graph(session, card, path / name)
    return Classifier(card, session, precision)


@functools.cache
def _multiplies_int8() -> bool:
    """Whether this processor has dot products of 8-bit numbers, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return bool({"avx512_vnni", "avx_vnni", "asimddp"} & set(flags.split()))


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Softmax over the last axis, safe for large values."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: npt.NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _check_graph(session: ort.InferenceSession, card: Card, path: Path) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadModel(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; expected one each"
        )
    shape, kind = tuple(inputs[0].shape), inputs[0].type
    if kind != "tensor(uint8)" or shape[1:] != card.input.shape:
        raise BadModel(f"{path} takes {kind} {list(shape)}; its card says uint8 (N, {card.input})")
    classes = outputs[0].shape[-1]
    if classes != len(card.classes):
        raise BadModel(f"{path} answers with {classes} classes; its card names {len(card.classes)}")
