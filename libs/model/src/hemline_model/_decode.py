"""Bytes in, a uint8 array of the model's input shape out."""

import io
import struct
import warnings

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from hemline_model._contract import InputContract
from hemline_model._errors import BadImage

__all__ = ["MAX_PIXELS", "ImageArray", "bring_to_contract", "decode"]

ImageArray = npt.NDArray[np.uint8]

MAX_PIXELS = 25_000_000
"""Largest image decoded, in pixels: a 24-megapixel photograph passes, a decompression bomb whose
header promises more is refused before a byte of it is expanded."""

_PNG = b"\x89PNG\r\n\x1a\n"
_NPY = b"\x93NUMPY"
_PNG_GREY, _PNG_RGB = 0, 2
_ACCEPTED = "PNG, JPEG, WebP or .npy"
# What people send by mistake, told by its first bytes.
_FOREIGN = (
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"<", "an HTML, XML or SVG document"),
)


def decode(data: bytes, contract: InputContract, content_type: str | None = None) -> ImageArray:
    """Decode an encoded image to the uint8 array (height, width, channels) of `contract`.

    The bytes decide what the format is; `content_type` only helps the error message. An image of
    another size is resized (both sides independently, so nothing is cut off), colour becomes grey by
    the ITU-R 601 luma and grey becomes RGB, transparency is laid on black, and the EXIF rotation is
    applied. A `.npy` holds a uint8 array height x width, or height x width x 1, 3 or 4.

    Raises:
        BadImage: not an image in an accepted format, damaged, animated, or larger than `MAX_PIXELS`.
    """
    if data.startswith(_PNG):
        fast = _decode_plain_png(data, contract)
        if fast is not None:
            return fast
    elif data.startswith(_NPY):
        return bring_to_contract(_read_npy(data), contract)
    return _decode_with_pillow(data, contract, content_type)


def bring_to_contract(pixels: ImageArray, contract: InputContract) -> ImageArray:
    """Bring a uint8 array height x width[ x 1, 3 or 4] to the shape of `contract`.

    Raises:
        BadImage: another dtype or number of dimensions.
    """
    if pixels.dtype != np.uint8:
        raise BadImage(
            f"the array holds {pixels.dtype} values; expected uint8 from 0 to 255: scale it and "
            "convert it with .astype('uint8')"
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    grey = pixels.ndim == 2
    if not grey and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
        raise BadImage(
            f"the array has the shape {pixels.shape}; expected height x width, or height x width "
            "x 1, 3 or 4"
        )
    height, width = pixels.shape[:2]
    _check_size(width, height)
    if (height, width) == (contract.height, contract.width):
        if grey and contract.channels == 1:
            return np.ascontiguousarray(pixels[:, :, np.newaxis])
        if not grey and pixels.shape[2] == contract.channels:
            return np.ascontiguousarray(pixels)
    return _to_array(Image.fromarray(np.ascontiguousarray(pixels)), contract)


def _decode_plain_png(data: bytes, contract: InputContract) -> ImageArray | None:
    """Decode the PNG that is already what the model takes; None when it needs more than that."""
    if len(data) < 33:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    expected = _PNG_GREY if contract.channels == 1 else _PNG_RGB
    if (height, width) != (contract.height, contract.width):
        return None
    if depth != 8 or colour != expected or interlace:
        return None
    # Transparency, rotation and animation: should the pixels happen to spell one of these names,
    # the longer way gives the same result.
    if any(chunk in data for chunk in (b"tRNS", b"eXIf", b"acTL")):
        return None
    try:
        pixels: ImageArray = imagecodecs.spng_decode(data)
    except (imagecodecs.SpngError, ValueError):
        # Pillow then says what is wrong, in words a person can use.
        return None
    return pixels.reshape(contract.shape) if pixels.size == contract.num_bytes else None


def _decode_with_pillow(
    data: bytes, contract: InputContract, content_type: str | None
) -> ImageArray:
    if not data:
        raise BadImage(f"the image is empty (0 bytes); expected {_ACCEPTED}")
    with warnings.catch_warnings():
        # Pillow warns of large images; the limit here is ours, and lower than its error.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
        except UnidentifiedImageError as error:
            raise BadImage(_unrecognised(data, content_type)) from error
        except Image.DecompressionBombError as error:
            raise BadImage(
                f"the header promises more than {MAX_PIXELS:,} pixels: refused before decoding"
            ) from error
        except Exception as error:
            raise BadImage(f"the image header is damaged: {_first_line(error)}") from error
        _check_size(*image.size)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise BadImage(
                f"the {image.format} is animated ({frames} frames); expected a single still image"
            )
        try:
            # Lets the JPEG decoder skip most of the work when the picture is far too large.
            image.draft(None, (2 * max(contract.shape[:2]),) * 2)
            return _to_array(ImageOps.exif_transpose(image), contract)
        except BadImage:
            raise
        except Exception as error:
            raise BadImage(
                f"the {image.format} is damaged or cut short ({len(data):,} bytes): "
                f"{_first_line(error)}"
            ) from error


def _to_array(image: Image.Image, contract: InputContract) -> ImageArray:
    image = _to_eight_bit(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    image = image.convert("L" if contract.channels == 1 else "RGB")
    size = (contract.width, contract.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image, dtype=np.uint8).reshape(contract.shape).copy()


def _to_eight_bit(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # Of the accepted formats only PNG has 16 bits, and there they always span 0 to 65,535.
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def _read_npy(data: bytes) -> ImageArray:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise BadImage(
                f"the .npy has format version {version[0]}.{version[1]}; expected 1.0 or 2.0: "
                "save it with numpy.save"
            )
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(f"the .npy header is damaged: {_first_line(error)}") from error
    if dtype.hasobject or dtype != np.uint8:
        raise BadImage(f"the .npy holds {dtype} values; expected uint8 from 0 to 255")
    if not 2 <= len(shape) <= 3:
        raise BadImage(
            f"the .npy has the shape {shape}; expected one image: height x width, or height x "
            "width x 1, 3 or 4"
        )
    _check_size(shape[1], shape[0])
    expected, body = int(np.prod(shape)), data[stream.tell() :]
    if len(body) != expected:
        raise BadImage(
            f"the .npy holds {len(body):,} bytes of pixels; its shape {shape} needs {expected:,}"
        )
    return np.frombuffer(body, np.uint8).reshape(shape, order="F" if fortran else "C")


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadImage(f"the image is {width} x {height} pixels; expected at least 1 x 1")
    if width * height > MAX_PIXELS:
        raise BadImage(
            f"the image is {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} accepted: "
            "scale it down"
        )


def _unrecognised(data: bytes, content_type: str | None) -> str:
    if data[4:8] == b"ftyp":
        return f"a HEIC, AVIF or video file of {len(data):,} bytes; expected {_ACCEPTED}: convert it first"
    for magic, kind in _FOREIGN:
        if data.startswith(magic):
            return f"{kind} of {len(data):,} bytes; expected {_ACCEPTED}: convert it first"
    said = f", said to be {content_type[:80]!r}," if content_type else ""
    return (
        f"not an image: {len(data):,} bytes{said} beginning with {data[:12]!r}; "
        f"expected {_ACCEPTED}"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n", 1)[0]
    return (text or type(error).__name__)[:160]
