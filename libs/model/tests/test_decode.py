"""Encoded images come out as the model's input, or as one clear line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hemline_model import MAX_PIXELS, BadImage, InputContract, decode

GREY = InputContract(height=28, width=28, channels=1)
COLOUR = InputContract(height=32, width=32, channels=3)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_the_right_shape_keeps_every_pixel(pixels: np.ndarray, interlaced: bool) -> None:
    data = encode(Image.fromarray(pixels), "PNG", interlace=interlaced)
    np.testing.assert_array_equal(decode(data, GREY)[:, :, 0], pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("contract", [GREY, COLOUR], ids=str)
def test_every_colour_mode_reaches_the_contract(
    pixels: np.ndarray, mode: str, kind: str, contract: InputContract
) -> None:
    if kind == "WEBP" and mode in ("1", "LA", "P"):
        mode = "RGB"
    result = decode(encode(Image.fromarray(pixels).convert(mode), kind), contract)
    assert result.shape == contract.shape
    assert result.dtype == np.uint8


def test_sixteen_bits_are_scaled_to_eight() -> None:
    data = encode(Image.fromarray(np.full((28, 28), 0xABCD, np.uint16)), "PNG")
    assert (decode(data, GREY) == 0xAB).all()


def test_transparency_lies_on_black() -> None:
    data = encode(Image.new("RGBA", (28, 28), (255, 255, 255, 0)), "PNG")
    assert (decode(data, GREY) == 0).all()


def test_the_exif_rotation_is_applied() -> None:
    sideways = Image.new("L", (80, 40))
    sideways.paste(255, (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode(encode(sideways, "JPEG", exif=exif), GREY)
    assert upright[:12].mean() > 200
    assert upright[-12:].mean() < 50


def test_numpy_arrays_need_no_pickle(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(npy(pixels), GREY)[:, :, 0], pixels)
    np.testing.assert_array_equal(decode(npy(np.asfortranarray(pixels)), GREY)[:, :, 0], pixels)
    assert decode(npy(np.zeros((50, 40, 4), np.uint8)), GREY).shape == GREY.shape


def png_with_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BadImage) as caught:
        decode(png_with_header(9000, 9000), GREY)
    assert str(caught.value) == (
        f"the image is 9,000 x 9,000 pixels, more than the {MAX_PIXELS:,} accepted: scale it down"
    )
    with pytest.raises(BadImage, match="more than"):
        decode(png_with_header(2_000_000_000, 2_000_000_000), GREY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image is empty (0 bytes); expected PNG, JPEG, WebP or .npy"),
        (
            b"just some words",
            "not an image: 15 bytes beginning with b'just some wo'; expected PNG, JPEG, WebP or .npy",
        ),
        (
            npy(np.zeros((28, 28), np.float32)),
            "the .npy holds float32 values; expected uint8 from 0 to 255",
        ),
        (
            npy(np.array([[{}, {}]], object)),
            "the .npy holds object values; expected uint8 from 0 to 255",
        ),
        (
            npy(np.zeros((28, 28), np.uint8))[:-5],
            "the .npy holds 779 bytes of pixels; its shape (28, 28) needs 784",
        ),
    ],
)
def test_what_is_no_image_gives_one_clear_line(data: bytes, message: str) -> None:
    with pytest.raises(BadImage) as caught:
        decode(data, GREY)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_is_refused(pixels: np.ndarray, kind: str) -> None:
    data = encode(Image.fromarray(pixels), kind)
    with pytest.raises(BadImage) as caught:
        decode(data[: len(data) // 2], GREY)
    assert "\n" not in str(caught.value)


def test_a_damaged_png_of_the_right_shape_is_refused(pixels: np.ndarray) -> None:
    data = bytearray(encode(Image.fromarray(pixels), "PNG"))
    data[60] ^= 0xFF
    with pytest.raises(BadImage, match="damaged or cut short"):
        decode(bytes(data), GREY)
