"""The shipped model: how right it is, how fast it is in several engines, how good it gets in a few minutes.

    python bench/model.py [--quick] [--minutes 2,5,15] [--fine-tune]

The same weights run in our serving runtime (8-bit where the processor has instructions for it, and float), in bare ONNX
Runtime with its defaults, in OpenVINO, as a TensorFlow SavedModel and by Keras `predict`, two threads each, in turn:
what is shown is the median over rounds. Training from nothing on all of Fashion-MNIST, which must be installed
(Debian: dataset-fashion-mnist), is left out with `--quick`, unless `--minutes` is given too. `--fine-tune` measures in
a minute or two how the shipped model adapts to a drift.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from _model_fine_tune import fine_tune_table

import hemline_model

THREADS = 2
BATCHES = (1, 32, 256)
GOAL = 0.9157

Run = Callable[[np.ndarray], Any]


def engines(scratch: Path) -> Iterator[tuple[str, Run]]:
    """Each engine by name, ready to answer a batch of uint8 images."""
    model = hemline_model.pretrained()
    ours = hemline_model.load(model, THREADS)
    yield f"hemline_model ({ours.precision})", ours.predict
    if ours.precision != "float32":
        yield (
            "hemline_model (float32)",
            hemline_model.load(model, THREADS, precision="float32").predict,
        )
    yield from bare_engines(model / "model.onnx")
    yield from tensorflow_engines(model, scratch)


def bare_engines(graph: Path) -> Iterator[tuple[str, Run]]:
    """ONNX Runtime as it comes, and OpenVINO."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    yield "ONNX Runtime (float32)", lambda images: session.run(None, {name: images})
    try:
        import openvino
    except ImportError:
        print("OpenVINO: left out, not installed")
        return
    compiled = openvino.Core().compile_model(str(graph), "CPU", {"INFERENCE_NUM_THREADS": THREADS})
    request = compiled.create_infer_request()
    yield "OpenVINO (float32)", lambda images: request.infer([images])


def tensorflow_engines(model: Path, scratch: Path) -> Iterator[tuple[str, Run]]:
    """A SavedModel's serving function, and Keras's own `predict`."""
    import tensorflow as tf

    from hemline_model import training

    keras_model = training.load_model(model)
    saved = scratch / "saved"
    with redirect_stdout(io.StringIO()):
        keras_model.export(saved, format="tf_saved_model", verbose=False)
    # The function alone does not keep its variables alive: the whole object must be held.
    loaded = tf.saved_model.load(str(saved))
    yield "TensorFlow SavedModel", lambda images: loaded.serve(tf.constant(images)).numpy()
    yield "Keras predict", lambda images: keras_model.predict(images, batch_size=256, verbose=0)


def rate(run: Run, images: np.ndarray, seconds: float) -> float:
    """Images per second for about that long."""
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        run(images)
        done += len(images)
    return done / took


def speeds(
    images: np.ndarray, *, rounds: int, seconds: float, scratch: Path
) -> dict[str, dict[int, float]]:
    """Median images per second of each engine at each batch size."""
    ready = dict(engines(scratch))
    measured: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in BATCHES} for name in ready
    }
    for run in ready.values():
        for size in BATCHES:
            run(images[:size])
    for _ in range(rounds):
        for name, run in ready.items():
            for size in BATCHES:
                measured[name][size].append(rate(run, images[:size], seconds))
    return {
        name: {size: statistics.median(values) for size, values in by_size.items()}
        for name, by_size in measured.items()
    }


def train_for(minutes: float, scratch: Path) -> tuple[float, float]:
    """Test accuracy after so many minutes of training from nothing, and the minutes of the whole command."""
    out = scratch / f"trained-{minutes:g}"
    command = [sys.executable, "-m", "hemline_model", "train", "fashion-mnist"]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(out), "--budget", f"{minutes * 60:g}s"], check=True)
    metrics = json.loads((out / "card.json").read_text())["metrics"]
    return float(metrics["test_accuracy"]), (time.perf_counter() - began) / 60


def accuracy_by_minutes(minutes: list[float], scratch: Path) -> list[tuple[str, float, str]]:
    """Train for each number of minutes, shortest first; print a table, return figures."""
    try:
        hemline_model.dataset("fashion-mnist")
    except hemline_model.BadDataset as error:
        print(f"\ntraining: left out, {error}")
        return []
    found = {}
    for budget in sorted(minutes):
        found[budget] = train_for(budget, scratch)
    print(f"\n{'minutes of training':>19}{'test accuracy':>16}{'whole command':>16}")
    for budget, (accuracy, whole) in found.items():
        print(f"{budget:>19g}{accuracy:>16.4f}{whole:>12.1f} min")
    figures = [
        (f"model.accuracy_{m:g}min", accuracy, "fraction") for m, (accuracy, _) in found.items()
    ]
    reached = [budget for budget, (accuracy, _) in found.items() if accuracy >= GOAL]
    if reached:
        figures.append(("model.minutes_to_9157", reached[0], "min"))
    else:
        print(f"none of them reached {GOAL:.2%}")
    return figures


def minutes_of(text: str) -> list[float]:
    """Positive numbers separated by commas."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) * 60 < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected minutes of training, like 2,5,15")
    return found


def main() -> None:
    """Measure, and print a table and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="no training, and shorter rounds")
    parser.add_argument(
        "--minutes", type=minutes_of, help="how long to train, separated by commas (default 2,5,15)"
    )
    parser.add_argument("--fine-tune", action="store_true", help="also fine-tune after a drift")
    given = parser.parse_args()
    minutes = given.minutes or ([] if given.quick else [2.0, 5.0, 15.0])
    figures: list[tuple[str, float, str]] = []
    test = hemline_model.dataset("fashion-mnist-sample").split("test")
    images = np.ascontiguousarray(test.images[: max(BATCHES)])
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before it began")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        result = hemline_model.test(
            hemline_model.pretrained(), "fashion-mnist-sample", threads=THREADS
        )
        print(
            f"the shipped model: {result.accuracy:.4f} of {result.images:,} official test images right"
        )
        figures.append(("model.test_accuracy", result.accuracy, "fraction"))
        found = speeds(
            images,
            rounds=3 if given.quick else 7,
            seconds=0.3 if given.quick else 1.0,
            scratch=scratch,
        )
        print(f"\n{'images/s by batch size':32}" + "".join(f"{size:>9}" for size in BATCHES))
        for name, by_size in found.items():
            print(f"{name:32}" + "".join(f"{by_size[size]:>9,.0f}" for size in BATCHES))
        ours = next(iter(found.values()))
        peer = max(
            by_size[256] for name, by_size in found.items() if not name.startswith("hemline")
        )
        figures.append(("model.images_per_s", ours[256], "1/s"))
        figures.append(("model.of_best_peer", ours[256] / peer, "ratio"))
        if given.fine_tune:
            figures += fine_tune_table()
        if minutes:
            figures += accuracy_by_minutes(minutes, scratch)
    print()
    for name, value, unit in figures:
        print(f"figure {name} {value:.4g} {unit}")


if __name__ == "__main__":
    main()
