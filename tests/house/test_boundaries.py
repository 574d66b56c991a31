"""What the house promises that no single package can check."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES_LIMIT = 500


def tracked(*patterns: str) -> list[Path]:
    output = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in output.split("\0") if name]


def test_no_package_folder_can_shadow_the_standard_library() -> None:
    for pattern in ("operator", "services/*", "libs/*"):
        for folder in ROOT.glob(pattern):
            assert not (folder / "__init__.py").exists(), folder


def test_modules_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if path.exists()
        and "_pb2" not in path.name
        and (lines := len(path.read_text().splitlines())) > MODULES_LIMIT
    }
    assert not long, "split by concern"


def test_no_large_file_is_committed() -> None:
    large = [path for path in tracked() if path.is_file() and path.stat().st_size > 5 << 20]
    assert not large


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hemline_inference", ("tensorflow", "keras", "lance", "pyarrow", "duckdb", "grpc")),
        ("hemline_samples", ("tensorflow", "keras")),
        ("hemline_client_sim", ("tensorflow", "keras", "lance")),
        ("hemline_operator.lifecycle", ("tensorflow", "numpy", "lance", "grpc", "kopf")),
        ("hemline_model", ("tensorflow", "keras")),
        ("hemline_store", ("lance", "pyarrow", "duckdb")),
        ("hemline.__main__", ("tensorflow", "keras", "lance", "grpc", "onnxruntime")),
    ],
)
def test_starting_a_process_loads_nothing_heavy(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(m for m in {unwanted!r} if m in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_the_model_library_and_the_contracts_split_alike() -> None:
    from hemline_api.hashing import split_of
    from hemline_model import split_of as model_split_of

    ids = [f"fashion-mnist-train-{n:05d}" for n in range(2000)] + ["é", "x" * 1000]
    assert [split_of(name) for name in ids] == [model_split_of(name) for name in ids]
