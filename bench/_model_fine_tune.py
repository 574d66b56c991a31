"""How a fine-tuning of the shipped model takes in what is new and keeps what is old."""

import time
from collections.abc import Callable, Iterator

import numpy as np

import hemline_model
from hemline_model import training

NEW, SCORED = 900, 2_500

Change = Callable[[np.ndarray], np.ndarray]

DRIFTS: dict[str, Change] = {
    "inverted": lambda images: 255 - images,
    "dark": lambda images: images // 4,
}


def fine_tune_table() -> list[tuple[str, float, str]]:
    """Fine-tune once for each drift with the default settings; print a table, return figures.

    900 images of the official test set, changed and labelled, are what is new; batches of 128 are half of those and
    half of the shipped sample of the old training images. Scored on 2,500 other test images, changed and as they were.
    """
    sample = hemline_model.dataset("fashion-mnist-sample")
    old, test = sample.split("train"), sample.split("test")
    base = hemline_model.pretrained()
    model = training.load_model(base)
    settings = training.FineTuneSettings()
    images, labels = np.asarray(test.images), test.labels
    fresh, kept = slice(0, NEW), slice(NEW, NEW + SCORED)
    print(
        f"\n{settings.steps} steps of fine-tuning, {NEW} labelled new images; accuracy on {SCORED:,} drifted / original"
    )
    print(f"{'drift':12}{'before':>18}{'after':>18}{'processor s':>13}")
    figures = []
    for name, change in DRIFTS.items():
        new = change(images[fresh])

        def batches_from(step: int, new: np.ndarray = new) -> Iterator[training.Batch]:
            while True:
                rows = np.random.default_rng(step)
                ours = rows.integers(0, len(new), 64)
                theirs = np.sort(rows.integers(0, len(old), 64))
                yield (
                    np.concatenate([new[ours], old.images[theirs]]),
                    np.concatenate([labels[fresh][ours], old.labels[theirs]]),
                )
                step += 1

        before = accuracies(model, change(images[kept]), images[kept], labels[kept])
        began = time.process_time()
        tuned = training.fine_tune(base, batches_from, settings=settings)
        took = time.process_time() - began
        after = accuracies(tuned, change(images[kept]), images[kept], labels[kept])
        shown = [f"{drifted:.3f} / {original:.3f}" for drifted, original in (before, after)]
        print(f"{name:12}{shown[0]:>18}{shown[1]:>18}{took:>13.0f}")
        figures.append((f"model.fine_tuned_{name}", after[0], "fraction"))
        figures.append((f"model.fine_tuned_{name}_original", after[1], "fraction"))
    return figures


def accuracies(
    model: object, drifted: np.ndarray, original: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Fractions named rightly of drifted and of original images."""
    found = [
        float((training.predict_logits(model, images).argmax(axis=1) == labels).mean())
        for images in (drifted, original)
    ]
    return found[0], found[1]
