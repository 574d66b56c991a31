"""A run from the shipped model, on real images whose camera has been turned to negative."""

import contextlib
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import hemline_model as hm
from hemline_api.report import TrainingReport
from hemline_store import Lake
from hemline_store.tables import ImageRow, LabelRow, Samples


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_model_learns_to_read_negatives(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    uri = str(tmp_path / "lake")
    where = ("--lake", uri, "--classifier", "mnist")
    subprocess.run([sys.executable, "-m", "hemline_samples", "init", *where], check=True)
    lake = Lake(uri, "mnist")
    samples = Samples.open(lake)
    stream = hm.dataset("fashion-mnist-sample").split("test")
    now = datetime.now(UTC)
    images, labels = [], []
    for number in range(0, 1600, 2):
        name, group = f"run-{number}", f"fashion-test-{number}"
        negative = 255 - np.asarray(stream.images[number])[:, :, 0]
        body = bytes(imagecodecs.png_encode(negative))
        images.append(ImageRow(name, body, "image/png", now, group=group))
        labels.append(LabelRow(name, int(stream.labels[number]), None, now, name, now))
    samples.append_images(images)
    samples.append_labels(labels)

    grpc_port, http_port = free_port(), free_port()
    listen = ("--listen", f"127.0.0.1:{grpc_port}", "--http", f"127.0.0.1:{http_port}")
    server = subprocess.Popen([sys.executable, "-m", "hemline_samples", "serve", *where, *listen])

    def is_healthy() -> bool:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{http_port}/healthz"
            return bool(urllib.request.urlopen(url, timeout=30).read())
        return False

    report_file = tmp_path / "report.json"
    try:
        until(is_healthy, what="serve is healthy")
        run = [
            *(sys.executable, "-m", "hemline_trainer", *where),
            *("--samples", f"127.0.0.1:{grpc_port}", "--uid", "run-1", "--base", "1"),
            *("--steps", "40", "--report-file", report_file, "--work", tmp_path / "work"),
        ]
        subprocess.run(run, check=True)
    finally:
        server.kill()
        server.wait()
    report = TrainingReport.from_json(report_file.read_bytes())
    frozen, fresh = report.evaluations
    assert (report.version, frozen.samples) == (2, 989)
    assert fresh.candidate_accuracy > fresh.incumbent_accuracy + 0.3
    # What was published is what was judged, and serves.
    served = hm.load(lake.models.fetch(2, tmp_path / "fetched"), precision="float32")
    negatives = np.stack([255 - np.asarray(stream.images[n]) for n in range(1601, 2001, 2)])
    truth = stream.labels[1601:2001:2]
    assert float((served.predict(negatives).labels == truth).mean()) > 0.5
