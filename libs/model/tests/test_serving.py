"""The serving runtime: verified models, bounded inputs, no TensorFlow."""

import json
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemline_model as hm


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    shutil.copytree(hm.pretrained("fashion-mnist"), target)
    return target


def test_the_shipped_model_is_as_good_as_its_card_says() -> None:
    classifier = hm.load(hm.pretrained("fashion-mnist"), threads=2)
    split = hm.dataset("fashion-mnist-sample").split("test")
    predictions = classifier.predict(split.images)
    assert predictions.labels.dtype == np.int64
    assert predictions.confidence.dtype == predictions.probabilities.dtype == np.float32
    assert predictions.probabilities.shape == (10_000, 10)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(predictions.confidence, predictions.probabilities.max(axis=1))
    accuracy = float((predictions.labels == split.labels).mean())
    assert accuracy == pytest.approx(classifier.card.metrics["test_accuracy"], abs=0.003)


def test_an_empty_batch_and_single_images() -> None:
    classifier = hm.load(hm.pretrained())
    assert len(classifier.predict(np.empty((0, 28, 28, 1), np.uint8))) == 0
    images = hm.dataset("fashion-mnist-sample").split("test").images[:300]
    together = classifier.predict(images)
    single = classifier.predict(images[299:])
    np.testing.assert_allclose(together.probabilities[299:], single.probabilities, atol=1e-4)
    assert classifier.names_of(single.labels) == [classifier.name_of(int(single.labels[0]))]


def test_encoded_images_and_pixels_of_any_size() -> None:
    classifier = hm.load(hm.pretrained())
    raw = hm.dataset("fashion-mnist-sample").split("test").images[:3]
    encoded = BytesIO()
    Image.fromarray(raw[1, :, :, 0]).save(encoded, "PNG")
    large = np.asarray(Image.fromarray(raw[2, :, :, 0]).resize((56, 56)).convert("RGB"))
    mixed = classifier.predict_encoded([raw[0], encoded.getvalue(), large])
    expected = classifier.predict(raw)
    np.testing.assert_array_equal(mixed.labels, expected.labels)
    np.testing.assert_allclose(mixed.confidence[:2], expected.confidence[:2], atol=1e-5)
    with pytest.raises(hm.BadImage, match=r"image 1: the image is empty \(0 bytes\)"):
        classifier.predict_encoded([raw[0], b""])
    assert len(classifier.predict_encoded([])) == 0


def test_other_shapes_are_refused() -> None:
    classifier = hm.load(hm.pretrained())
    with pytest.raises(hm.BadImage) as caught:
        classifier.predict(np.zeros((2, 28, 28, 3), np.uint8))
    assert str(caught.value) == (
        "received uint8 images of the shape (2, 28, 28, 3); expected uint8 (N, 28, 28, 1): "
        "`decode` brings images to that shape"
    )


def test_an_altered_graph_is_refused(copy: Path) -> None:
    graph = bytearray((copy / "model.onnx").read_bytes())
    graph[1000] ^= 1
    (copy / "model.onnx").write_bytes(graph)
    with pytest.raises(hm.BadModel, match="is not the file its card describes"):
        hm.load(copy, precision="float32")
    (copy / "model.onnx").unlink()
    with pytest.raises(hm.BadModel, match="cannot read"):
        hm.load(copy, precision="float32")


def test_eight_bits_answer_as_thirty_two() -> None:
    images = hm.dataset("fashion-mnist-sample").split("test").images[:1000]
    exact = hm.load(hm.pretrained(), 2, precision="float32").predict(images)
    fast = hm.load(hm.pretrained(), 2, precision="int8")
    assert fast.precision == "int8"
    assert (fast.predict(images).labels == exact.labels).mean() > 0.98


def test_a_model_without_eight_bits_says_so(copy: Path) -> None:
    from hemline_model._card import describe_file

    edit_card(copy, files={"model.onnx": describe_file(copy / "model.onnx").model_dump()})
    assert hm.load(copy).precision == "float32"
    with pytest.raises(
        hm.BadModel, match=r"lists model\.onnx; expected model\.int8\.onnx among them"
    ):
        hm.load(copy, precision="int8")


def edit_card(directory: Path, **changes: object) -> None:
    card = json.loads((directory / "card.json").read_text())
    (directory / "card.json").write_text(json.dumps({**card, **changes}))


def test_a_card_that_does_not_fit_its_graph_is_refused(copy: Path) -> None:
    edit_card(copy, classes=["one", "two", "three"])
    with pytest.raises(hm.BadModel, match="answers with 10 classes; its card names 3"):
        hm.load(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["same", "same"]}, "class names repeat"),
        ({"temperature": 0}, "temperature: Input should be greater than 0"),
        ({"format": 2}, "card format 2 is not known here"),
        (
            {"files": {"../../etc/x": {"sha256": "0" * 64, "bytes": 1}}},
            "leaves the model directory",
        ),
    ],
)
def test_cards_are_checked(copy: Path, changes: dict[str, object], message: str) -> None:
    edit_card(copy, **changes)
    with pytest.raises(hm.BadModel, match=message):
        hm.load(copy)


def test_a_graph_that_is_no_graph_is_refused(copy: Path) -> None:
    from hemline_model._card import describe_file

    (copy / "model.onnx").write_bytes(b"no graph at all")
    edit_card(copy, files={"model.onnx": describe_file(copy / "model.onnx").model_dump()})
    with pytest.raises(hm.BadModel, match="the engine refuses"):
        hm.load(copy)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(hm.BadModel, match=r"holds no card\.json"):
        hm.load(tmp_path)
    with pytest.raises(hm.BadModel, match="no pretrained model is called 'imagenet'"):
        hm.pretrained("imagenet")


def test_serving_does_not_import_tensorflow() -> None:
    code = (
        "import sys, hemline_model as hm; hm.load(hm.pretrained()); "
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'matplotlib', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names() -> None:
    assert hm.__all__ == sorted(hm.__all__, key=lambda n: (not n.isupper(), n.islower(), n))
    assert all(hasattr(hm, name) for name in hm.__all__)
