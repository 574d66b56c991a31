"""Damaged images: each gives one line that says what to do."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hemline_model.cli import app

GREY = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(np.roll(GREY, shift)) for shift in range(3)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


def bomb() -> bytes:
    data = bytearray(saved(Image.fromarray(GREY), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


PNG = saved(Image.fromarray(GREY), "PNG")
ACCEPTED = "expected PNG, JPEG, WebP or .npy"

IMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", f"the image is empty (0 bytes); {ACCEPTED}"),
    "truncated PNG": (
        PNG[: len(PNG) // 2],
        f"the PNG is damaged or cut short ({len(PNG) // 2} bytes): image file is truncated",
    ),
    "PNG header alone": (
        PNG[:20],
        "the image header is damaged: Truncated File Read",
    ),
    "16-bit TIFF": (
        saved(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        f"a TIFF image of SIZE bytes; {ACCEPTED}: convert it first",
    ),
    "animated GIF": (frames("GIF"), f"a GIF image of SIZE bytes; {ACCEPTED}: convert it first"),
    "animated PNG": (
        frames("PNG"),
        "the PNG is animated (3 frames); expected a single still image",
    ),
    "animated WebP": (
        frames("WEBP"),
        "the WEBP is animated (3 frames); expected a single still image",
    ),
    "decompression bomb": (
        bomb(),
        "the header promises more than 25,000,000 pixels: refused before decoding",
    ),
    "text file": (
        b"hello, world",
        f"not an image: 12 bytes beginning with b'hello, world'; {ACCEPTED}",
    ),
    "web page": (
        b"<!doctype html><title>404</title>",
        f"an HTML, XML or SVG document of 33 bytes; {ACCEPTED}: convert it first",
    ),
    "float array": (
        npy(GREY / 255),
        "the .npy holds float64 values; expected uint8 from 0 to 255",
    ),
    "pickled array": (
        npy(np.array([[print, None]], object)),
        "the .npy holds object values; expected uint8 from 0 to 255",
    ),
    "array cut short": (
        npy(GREY)[:-1],
        "the .npy holds 783 bytes of pixels; its shape (28, 28) needs 784",
    ),
    "batch of images": (
        npy(np.zeros((5, 28, 28, 1), np.uint8)),
        "the .npy has the shape (5, 28, 28, 1); expected one image: height x width, or height x "
        "width x 1, 3 or 4",
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images(tmp_path: Path, name: str) -> None:
    data, message = IMAGES[name]
    path = tmp_path / "image"
    path.write_bytes(data)
    result = CliRunner().invoke(app, ["predict", str(path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    message = message.replace("SIZE", f"{len(data):,}")
    assert result.stderr == f"error: {path}: {message}\n"


def test_a_missing_image() -> None:
    result = CliRunner().invoke(app, ["predict", "nowhere.png"])
    assert result.exit_code == 1
    assert result.stderr == "error: nowhere.png: No such file or directory\n"


def test_a_printers_jpeg_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "cmyk.jpg").write_bytes(saved(Image.new("CMYK", (60, 60)), "JPEG"))
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "cmyk.jpg")])
    assert result.exit_code == 0
