"""The part of a run that needs Keras, behind one import: steps, logits, temperature, export."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hemline_model import BadSettings, Split, Stopped, training
from hemline_trainer._client import Samples
from hemline_trainer._errors import Interrupted

__all__ = ["Candidate", "default_steps", "train"]

_log = logging.getLogger(__name__)

_COMPARED: Final = 64
_LEAST_FOR_INT8: Final = 500

Array = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def default_steps() -> int:
    """Batches that the model library suggests for a fine-tune."""
    return training.FineTuneSettings().steps


@dataclass(frozen=True, slots=True)
class Candidate:
    """The fine-tuned model."""

    model: Any

    def logits(self, images: Array) -> npt.NDArray[np.float32]:
        """Raw outputs float32 (N, K) for uint8 images (N, height, width, channels)."""
        if not len(images):
            return np.empty((0, int(self.model.output_shape[-1])), np.float32)
        return training.predict_logits(self.model, images)

    def temperature(self, logits: npt.NDArray[np.float32], labels: Labels) -> float:
        """What to divide logits by so that confidence can be believed."""
        return training.fit_temperature(logits, labels)

    def export(self, card: dict[str, Any], directory: Path, held_out: Samples) -> None:
        """Write the model directory to publish, compared with the model on some of ``held_out``.

        Where there are enough of them, an 8-bit graph is measured on them, too: new and old images both, because
        it has to answer both.
        """
        split = Split(
            [f"held-out-{number}" for number in range(len(held_out))],
            held_out.labels,
            held_out.images,
        )
        training.export(
            self.model,
            card,
            directory,
            samples=held_out.images[-_COMPARED:] if len(held_out) else None,
            int8=split if len(held_out) >= _LEAST_FOR_INT8 else None,
        )


def train(
    base: Path,
    batches_from: Callable[[int], Iterator[Samples]],
    *,
    steps: int,
    seed: int,
    checkpoint: Path,
    checkpoint_every_s: float,
    on_step: Callable[[int, float], None],
    stop: threading.Event,
) -> Candidate:
    """Fine-tune the model in ``base``, from the checkpoint where there is one.

    Raises:
        Interrupted: ``stop`` was set; a checkpoint is there.
        ModelError: the base model or the checkpoint cannot be used.
    """

    def arrays_from(step: int) -> Iterator[tuple[Array, Labels]]:
        for batch in batches_from(step):
            yield batch.images, batch.labels

    def tune() -> Any:
        return training.fine_tune(
            base,
            arrays_from,
            settings=training.FineTuneSettings(
                steps=steps, seed=seed, checkpoint_every_s=checkpoint_every_s
            ),
            checkpoint_dir=checkpoint,
            on_step=on_step,
            should_stop=stop.is_set,
        )

    resumes = checkpoint.exists()
    try:
        try:
            return Candidate(tune())
        except BadSettings as error:
            if not resumes:
                raise
            # The library may have been upgraded between two starts; a run that can only fail again helps nobody.
            _log.warning("%s; the training begins anew", error)
            shutil.rmtree(checkpoint, ignore_errors=True)
            return Candidate(tune())
    except Stopped as error:
        raise Interrupted(str(error)) from error
