"""Worked example: scikit-learn's handwritten digits, 1,797 grey images of 8 x 8 pixels.

    python libs/model/examples/digits.py digits
    hemline predict --model digits/model digits/three.png

What it does on the command line, once digits.npz is there:

    hemline train digits/digits.npz --out digits/model --epochs 20 --no-flip
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import hemline_model as hm
from hemline_model.training import AugmentSettings, TrainSettings

__all__ = ["main"]

_TESTED = 297


def main(out: Path, epochs: int = 20) -> hm.Card:
    """Write the data set and train on it; the last 297 images are the test set."""
    digits = load_digits()
    # 17 shades become 256, so that what is served later may come from any camera.
    images = (digits.images * 255 / 16).round().astype(np.uint8)
    labels = digits.target
    out.mkdir(parents=True, exist_ok=True)
    np.savez(
        out / "digits.npz",
        x_train=images[:-_TESTED],
        y_train=labels[:-_TESTED],
        x_test=images[-_TESTED:],
        y_test=labels[-_TESTED:],
        classes=np.array(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        ),
    )
    three = int(np.flatnonzero(labels == 3)[-1])
    Image.fromarray(images[three]).save(out / "three.png")
    # The mirror image of a digit is not that digit.
    settings = TrainSettings(epochs=epochs, augment=AugmentSettings(flip=False, erase=0.2))
    return hm.train(out / "digits.npz", out / "model", settings=settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the data set and the model")
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    print(main(given.out, given.epochs).metrics)
