"""Worked example: a folder of colour JPEGs, one sub-folder for each class.

    python libs/model/examples/colour_folder.py colour
    hemline predict --model colour/model colour/photos/flower/0-0.jpg

The photographs are the two that scikit-learn brings along, a temple and a flower, cut into patches of 32 x 32 pixels
that do not overlap: which of the two is a patch from? On the command line, once the folder is there:

    hemline train colour/photos --out colour/model --epochs 12
"""

import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

import hemline_model as hm
from hemline_model.training import TrainSettings

__all__ = ["main"]

_SIDE = 32
_NAMES = {"china.jpg": "temple", "flower.jpg": "flower"}


def main(out: Path, epochs: int = 12) -> hm.Card:
    """Write the folder and train on it; one patch in ten is kept for validation."""
    found = load_sample_images()
    for file_name, pixels in zip(found.filenames, found.images, strict=True):
        folder = out / "photos" / _NAMES[Path(file_name).name]
        folder.mkdir(parents=True, exist_ok=True)
        height, width, _ = pixels.shape
        for top in range(0, height - _SIDE + 1, _SIDE):
            for left in range(0, width - _SIDE + 1, _SIDE):
                patch = Image.fromarray(pixels[top : top + _SIDE, left : left + _SIDE])
                patch.save(folder / f"{top // _SIDE}-{left // _SIDE}.jpg", quality=95)
    settings = TrainSettings(epochs=epochs, batch_size=32)
    return hm.train(out / "photos", out / "model", settings=settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the photographs and the model")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    print(main(given.out, given.epochs).metrics)
