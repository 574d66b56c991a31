"""Models and data that come with the package, so that everything runs with no download."""

import os
from pathlib import Path

from hemline_model._errors import BadModel

__all__ = ["model_directory", "pretrained", "shipped_data", "shipped_models"]

_PACKAGE = Path(__file__).parent


def pretrained(name: str = "fashion-mnist") -> Path:
    """Directory of a shipped model: `card.json`, `model.onnx` for serving, `model.keras` to train on.

    Raises:
        BadModel: no model of that name is shipped.
    """
    known = shipped_models()
    if name not in known:
        raise BadModel(f"no pretrained model is called {name!r}; shipped: {', '.join(known)}")
    return _PACKAGE / "pretrained" / name


def shipped_models() -> list[str]:
    """Names of the models that `pretrained` knows, in order."""
    root = _PACKAGE / "pretrained"
    return sorted(path.name for path in root.iterdir() if (path / "card.json").is_file())


def model_directory(spec: str) -> Path:
    """The model directory at a path, or that of a shipped model of that name.

    Raises:
        BadModel: it is neither.
    """
    path = Path(os.path.expanduser(spec))  # noqa: PTH111 - Path.expanduser raises for ~nobody
    return path if path.is_dir() else pretrained(spec)


def shipped_data(name: str) -> Path:
    """Directory of a shipped data set."""
    return _PACKAGE / "data" / name
