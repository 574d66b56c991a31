"""Real trainings in processes of their own: killed, stopped, and short of memory."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from hemline_model.cli import app

WITHIN_S = 300

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bunch = load_digits()
    folder = tmp_path_factory.mktemp("digits")
    np.savez(folder / "digits.npz", images=(bunch.images * 15).astype("u1"), labels=bunch.target)
    (folder / "config.yaml").write_text(
        f"data: {folder}/digits.npz\n"
        "epochs: 12\nbatch_size: 64\npatience: null\ncheckpoint_every_s: 0.2\nprecision: float32\n"
        "network: {width: 0.5, blocks: [1]}\naugment: {flip: false, erase: 0.0}\n"
    )
    return folder


def start(folder: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hemline_model", "train"]
    command += ["--config", str(folder / "config.yaml"), "--out", str(out), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + WITHIN_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, "nothing happened in time"
        time.sleep(0.02)


def finish(folder: Path, out: Path) -> dict[str, object]:
    process = start(folder, out)
    output, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, errors
    assert output == f"{out}\n"
    card: dict[str, object] = json.loads((out / "card.json").read_text())
    return card


def steps_of(checkpoint: Path) -> int:
    with np.load(checkpoint, allow_pickle=False) as saved:
        return int(json.loads(saved["about"].tobytes())["step"])


def test_a_killed_training_ends_as_one_that_was_left_alone(digits: Path, tmp_path: Path) -> None:
    straight = finish(digits, tmp_path / "straight")
    out = tmp_path / "killed"
    checkpoint = tmp_path / "killed.training" / "checkpoint.npz"
    process = start(digits, out)
    wait_until(checkpoint.exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    done = steps_of(checkpoint)
    resumed = finish(digits, out)
    one, other = straight["parameters"], resumed["parameters"]
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert 0 < done < one["steps"] == other["steps"]
    # The same seed, the same batches, the same steps: what differs is rounding.
    for key, value in straight["metrics"].items():  # type: ignore[attr-defined]
        assert resumed["metrics"][key] == pytest.approx(value, abs=0.02), key  # type: ignore[index]
    assert straight["metrics"]["validation_accuracy"] > 0.9  # type: ignore[index]
    log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log[:-1]] == [float(n) for n in range(1, 13)]
    assert list(tmp_path.glob("*.training")) == []


def test_a_terminated_training_says_how_to_go_on(digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    process = start(digits, out, "--epochs", "200")
    wait_until((tmp_path / "model.training" / "checkpoint.npz").exists, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert output == ""
    last = errors.splitlines()[-1]
    assert last.startswith("training was stopped after step ")
    assert last.endswith("; it can be resumed: run the same command again")
    (digits / "other.yaml").write_text((digits / "config.yaml").read_text() + "seed: 3\n")
    result = CliRunner().invoke(
        app, ["train", "--config", str(digits / "other.yaml"), "--out", str(out)]
    )
    assert result.exit_code == 2
    assert "was written with other settings or data" in result.stderr


MEMORY = """
import re, sys
from pathlib import Path

import hemline_model as hm
from hemline_model import training

def peak():
    # Not ru_maxrss: where the tests' own process was larger than this one, that never grows.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\\s+(\\d+) kB$", status, re.MULTILINE)[1]) // 1024

def train(data, budget_s):
    settings = training.TrainSettings(
        budget_s=budget_s, epochs=1000, batch_size=32,
        network=training.NetworkSettings(width=0.5, blocks=(0,)),
    )
    return training.fit(data, settings)

def opened(folder):
    return hm.dataset(folder, in_memory_bytes=8 << 20)

train(opened(sys.argv[1]), 4)
before = peak()
large = opened(sys.argv[2])
fitted = train(large, 8)
for images, _ in large.split("train").batches():
    pass
assert fitted.position.step > 5, fitted.position.step
print(peak() - before)
"""


def test_a_training_takes_no_more_memory_for_more_images(tmp_path: Path) -> None:
    shape, sizes = (96, 96, 3), {"small": 400, "large": 12_000}
    rng = np.random.default_rng(0)
    for name, count in sizes.items():
        (tmp_path / name).mkdir()
        images = np.lib.format.open_memmap(
            tmp_path / name / "images.npy", "w+", np.uint8, (count, *shape)
        )
        for start_at in range(0, count, 400):
            images[start_at : start_at + 400] = rng.integers(0, 256, (400, *shape), np.uint8)
        images.flush()
        np.save(tmp_path / name / "labels.npy", np.arange(count) % 2)
    folders = [str(tmp_path / name) for name in sizes]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    grown_mib, data_mib = int(done.stdout), sizes["large"] * 96 * 96 * 3 / 2**20
    assert data_mib > 300
    assert grown_mib < data_mib / 3, done.stdout
