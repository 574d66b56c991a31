"""Where a training run stands, on disk: arrays and numbers only, replaced atomically."""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hemline_model._errors import BadSettings
from hemline_model.training._average import WeightAverage

__all__ = ["Checkpoint", "Position"]


@dataclass(slots=True)
class Position:
    """Steps done, seconds of training spent, and the loss of each step."""

    step: int = 0
    elapsed_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    notes: list[dict[str, float]] = field(default_factory=list)


class Checkpoint:
    """One resumable state below `directory`. `fingerprint` names the settings it belongs to."""

    def __init__(self, directory: Path, fingerprint: str) -> None:
        self._path = directory / "checkpoint.npz"
        self._fingerprint = fingerprint
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, position: Position, model: Any, optimizer: Any, average: WeightAverage) -> None:
        """Replace the checkpoint; a crash at any moment leaves the old one or the new one."""
        arrays: dict[str, Any] = {
            f"v{n}": np.asarray(v) for n, v in enumerate(_variables(model, optimizer))
        }
        arrays |= {f"a{n}": value for n, value in enumerate(average.values)}
        about = {
            "fingerprint": self._fingerprint,
            "step": position.step,
            "elapsed_s": position.elapsed_s,
            "notes": position.notes,
        }
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.savez(
                file,
                about=np.frombuffer(json.dumps(about).encode(), np.uint8),
                losses=np.array(position.losses, np.float32),
                **arrays,
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def restore(self, model: Any, optimizer: Any, average: WeightAverage) -> Position:
        """Put a saved state into the model and its optimizer; a fresh position if there is none.

        Raises:
            BadSettings: the checkpoint belongs to other settings, or is no checkpoint.
        """
        if not self._path.exists():
            return Position()
        try:
            with np.load(self._path, allow_pickle=False) as saved:
                about = json.loads(saved["about"].tobytes())
                variables = _variables(model, optimizer)
                arrays = [saved[f"v{n}"] for n in range(len(variables))]
                averages = [saved[f"a{n}"] for n in range(len(average.values))]
                losses = saved["losses"].tolist()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadSettings(f"{self._path} is no checkpoint: {error}; delete it") from error
        same_shapes = all(a.shape == tuple(v.shape) for a, v in zip(arrays, variables, strict=True))
        if about["fingerprint"] != self._fingerprint or not same_shapes:
            raise BadSettings(
                f"{self._path} was written with other settings or data; expected the same ones to "
                "resume: delete it to start anew"
            )
        for variable, value in zip(variables, arrays, strict=True):
            variable.assign(value)
        average.values = averages
        return Position(about["step"], about["elapsed_s"], losses, about["notes"])

    def remove(self) -> None:
        """Delete the checkpoint; nothing is left to resume."""
        self._path.unlink(missing_ok=True)


def _variables(model: Any, optimizer: Any) -> list[Any]:
    return [*model.variables, *optimizer.variables]
