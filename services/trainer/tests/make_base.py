"""Trains a tiny model on scikit-learn's digits: run once by the tests in a process of its own, TensorFlow stays there.

Arguments: where the model goes, and how many of the digits it may see.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import hemline_model as hm
from hemline_model import training

out, count = Path(sys.argv[1]), int(sys.argv[2])
digits = load_digits()
images = (digits.images * 15).astype(np.uint8)[:count, :, :, np.newaxis]
labels = digits.target[:count].astype(np.int64)
names = [f"old-{n}" for n in range(count)]
contract = hm.InputContract(height=8, width=8, channels=1)
whole = hm.Split(names, labels, images)
some = hm.Split(names[:100], labels[:100], images[:100])
classes = [f"digit-{n}" for n in range(10)]
data = hm.Dataset("digits", classes, contract, {"train": whole, "validation": some})
settings = training.TrainSettings(
    epochs=10,
    batch_size=32,
    network=training.NetworkSettings(width=0.25, blocks=(1,)),
    augment=training.AugmentSettings(flip=False, erase=0.0, shift=0.0),
)
fitted = training.fit(data, settings)
card = training.export(fitted.model, {"name": "digits", "classes": classes}, out)
labels_said = hm.load(out).predict(images).labels
print(f"right on what it has seen: {np.mean(labels_said == labels):.3f}")
