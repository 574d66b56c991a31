"""Runs inside an image, by its own Python: says as JSON what is there. test_pods.py sends it in as an argument."""

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

TOOLS = {
    "cc",
    "gcc",
    "g++",
    "c++",
    "clang",
    "ld",
    "as",
    "make",
    "cmake",
    "cargo",
    "go",
    "pip",
    "pip3",
    "uv",
    "git",
}
FOLDERS = (
    "/opt/hemline/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
)


def writable(folder: str) -> bool:
    """Whether a file can be made there."""
    try:
        Path(folder, "probe").touch()
    except OSError:
        return False
    return True


def modules_of(distribution: importlib.metadata.Distribution) -> list[str]:
    """The packages that a distribution brings."""
    return sorted(
        {str(file).split("/")[0] for file in distribution.files or () if "/" in str(file)}
    )


def main() -> None:
    """Print the findings."""
    ours = [
        one
        for one in importlib.metadata.distributions()
        if one.metadata["Name"].startswith("hemline")
    ]
    for one in ours:
        for name in modules_of(one):
            if name.isidentifier():
                __import__(name)
    imported = [module for name, module in sys.modules.items() if name.startswith("hemline")]
    print(
        json.dumps(
            {
                "user": [os.getuid(), os.getgid()],
                "ours": sorted(one.metadata["Name"] for one in ours),
                "versions": sorted({one.version for one in ours}),
                "tools": sorted(
                    str(Path(folder, name))
                    for folder in FOLDERS
                    for name in TOOLS
                    if Path(folder, name).exists()
                ),
                "installers": [
                    name
                    for name in ("pip", "ensurepip", "hatchling", "uv")
                    if importlib.util.find_spec(name)
                ],
                "training": [
                    name for name in ("tensorflow", "keras") if importlib.util.find_spec(name)
                ],
                "tables": [
                    name
                    for name in ("lance", "pyarrow", "duckdb")
                    if importlib.util.find_spec(name)
                ],
                "writable": [
                    folder for folder in ("/", "/opt/hemline", "/usr/bin") if writable(folder)
                ],
                "without_bytecode": [
                    module.__file__
                    for module in imported
                    if module.__file__ and not Path(module.__cached__ or "").is_file()
                ],
            }
        )
    )


main()
