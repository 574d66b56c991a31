"""From deliveries to chunks of pixels."""

import io
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from hemline_api.rollout import Canary, Rollout
from hemline_broker import Batch, Delivery, Message
from hemline_inference import _decoding
from hemline_inference._decoding import decode_chunk, split
from hemline_inference._engine import Chunk
from hemline_inference._slots import Serving, Slot
from hemline_model import InputContract


class Card:
    def __init__(self, contract: InputContract) -> None:
        self.input = contract


class Model:
    def __init__(self, height: int = 28, width: int = 28, channels: Any = 1) -> None:
        self.card = Card(InputContract(height=height, width=width, channels=channels))


def slot(version: int, model: Model | None = None) -> Slot:
    return Slot(version, cast("Any", model or Model()))


def delivery(data: bytes, image_id: str = "a") -> Delivery:
    owner: Any = None
    lease: Any = None
    return Delivery(Message(data, id=image_id), "mnist.images", 1, lease, 0, owner)


def batch(*deliveries: Delivery) -> Batch:
    owner: Any = None
    return Batch(deliveries, owner)


def chunk(model: Slot, *deliveries: Delivery) -> Chunk:
    return Chunk(model, list(deliveries), None, datetime.now(UTC), 0.0)


def encoded(kind: str, mode: str, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else (200, 10, 90)).save(out, kind)
    return out.getvalue()


def test_a_batch_for_one_model_stays_whole() -> None:
    stable = slot(1)
    given = batch(delivery(b"", "a"), delivery(b"", "b"))
    (only,) = split(
        given, Serving(Rollout(revision=1, stable=1), stable), images=8, decoded_bytes=1 << 20
    )
    assert only.batch is given
    assert only.deliveries == list(given)
    assert only.slot is stable


def test_each_model_gets_its_share_and_nothing_is_lost() -> None:
    rollout = Rollout(revision=1, stable=1, canary=Canary(version=2, fraction=0.4))
    serving = Serving(rollout, slot(1), slot(2))
    given = batch(*(delivery(b"", f"image-{n}") for n in range(100)))
    chunks = list(split(given, serving, images=256, decoded_bytes=1 << 20))
    assert [each.slot.version for each in chunks].count(1) == 1
    assert [each.slot.version for each in chunks].count(2) == 1
    for each in chunks:
        assert each.batch is None
        assert {rollout.version_for(d.message.id) for d in each.deliveries} == {each.slot.version}
    assert sorted(d.message.id for each in chunks for d in each.deliveries) == sorted(
        d.message.id for d in given
    )


def test_large_inputs_make_small_chunks() -> None:
    serving = Serving(Rollout(revision=1, stable=1), slot(1, Model(100, 100, 3)))
    given = batch(*(delivery(b"", str(n)) for n in range(10)))
    sizes = [len(c.deliveries) for c in split(given, serving, images=256, decoded_bytes=100_000)]
    assert sizes == [3, 3, 3, 1]
    sizes = [len(c.deliveries) for c in split(given, serving, images=256, decoded_bytes=1)]
    assert sizes == [1] * 10


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(28, 28), (300, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_and_colour_becomes_the_model_s_input(
    kind: str, mode: str, size: tuple[int, int], channels: int
) -> None:
    work = chunk(slot(1, Model(channels=channels)), delivery(encoded(kind, mode, size)))
    decode_chunk(work)
    assert work.rejected == []
    assert work.images is not None and work.images.shape == (1, 28, 28, channels)


def test_what_is_no_image_is_set_aside_with_one_line_and_the_rest_goes_on() -> None:
    good = [delivery(encoded("PNG", "L", (28, 28)), f"good-{n}") for n in range(3)]
    text = delivery(b"hello\nworld", "text")
    empty = delivery(b"", "empty")
    cut = delivery(encoded("PNG", "L", (28, 28))[:50], "cut")
    endless = delivery(encoded("PNG", "L", (28, 28)), "x" * 1025)
    work = chunk(slot(1), good[0], text, good[1], empty, cut, endless, good[2])
    decode_chunk(work)
    assert work.deliveries == good
    assert work.images is not None and work.images.shape == (3, 28, 28, 1)
    assert (work.images == 200).all()
    assert [d for d, _ in work.rejected] == [text, empty, cut, endless]
    for _, reason in work.rejected:
        assert reason and "\n" not in reason


def test_a_defect_of_a_decoder_costs_only_its_image(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def decode(data: bytes, contract: InputContract, content_type: str | None) -> np.ndarray:
        if data == b"evil":
            raise IndexError("unforeseen")
        return np.zeros(contract.shape, np.uint8)

    monkeypatch.setattr(_decoding, "decode", decode)
    work = chunk(slot(1), delivery(b"evil", "evil"), delivery(b"good", "good"))
    decode_chunk(work)
    assert [d.message.id for d in work.deliveries] == ["good"]
    assert work.rejected[0][1] == "the decoder failed: IndexError"
    assert "evil" in caplog.text


def test_want_of_memory_is_not_blamed_on_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(_decoding, "decode", decode)
    with pytest.raises(MemoryError):
        decode_chunk(chunk(slot(1), delivery(b"good")))
