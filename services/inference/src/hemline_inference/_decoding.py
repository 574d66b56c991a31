"""From deliveries to decoded chunks: which model each image goes to, and its pixels."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from hemline_broker import Batch, Delivery
from hemline_inference._engine import Chunk
from hemline_inference._slots import Serving, Slot
from hemline_model import BadImage, decode

__all__ = ["MAX_ID", "decode_chunk", "split"]

_log = logging.getLogger(__name__)

MAX_ID = 1024
"""Characters of an image's id that a prediction can carry."""


def split(batch: Batch, serving: Serving, *, images: int, decoded_bytes: int) -> Iterator[Chunk]:
    """One chunk for each model that answers some of these images, none above the limits.

    Args:
        batch: as it was fetched.
        serving: what answers.
        images: per chunk at most.
        decoded_bytes: of a chunk's array at most, but always one image.
    """
    received_at, taken = datetime.now(UTC), time.perf_counter()
    shares: dict[Slot, list[Delivery]] = {}
    if serving.canary is None:
        shares[serving.stable] = list(batch)
    else:
        for delivery in batch:
            shares.setdefault(serving.slot_for(delivery.message.id), []).append(delivery)
    for slot, share in shares.items():
        fits = max(1, decoded_bytes // slot.classifier.card.input.num_bytes)
        step = min(images, fits)
        for start in range(0, len(share), step):
            part = share[start : start + step]
            whole = batch if len(part) == len(batch) else None
            yield Chunk(slot, part, whole, received_at, taken)


def decode_chunk(chunk: Chunk) -> None:
    """Fill ``chunk.images``; what cannot be decoded moves to ``chunk.rejected`` with a line that says why.

    Raises:
        MemoryError: there is no room for the pixels now.
    """
    began = time.perf_counter()
    contract = chunk.slot.classifier.card.input
    images = np.empty((len(chunk.deliveries), *contract.shape), np.uint8)
    kept: list[Delivery] = []
    for delivery in chunk.deliveries:
        message = delivery.message
        if len(message.id) > MAX_ID:
            reason = (
                f"the image's id has {len(message.id):,} characters, expected at most {MAX_ID:,}"
            )
            chunk.rejected.append((delivery, reason))
            continue
        try:
            images[len(kept)] = decode(message.data, contract, message.content_type)
        except BadImage as error:
            chunk.rejected.append((delivery, " ".join(str(error).split())))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001
            # A defect of a decoder must not stop the stream: the bytes are kept in the dead letter.
            _log.exception("decoding image %s failed in an unforeseen way", message.id)
            chunk.rejected.append((delivery, f"the decoder failed: {type(error).__name__}"))
        else:
            kept.append(delivery)
    chunk.deliveries = kept
    chunk.images = images[: len(kept)]
    chunk.decode_seconds = time.perf_counter() - began
