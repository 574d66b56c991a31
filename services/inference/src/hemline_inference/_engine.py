"""The engine's thread: it answers whatever waits, as one batch."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from hemline_broker import Batch, Delivery
from hemline_inference._slots import Slot
from hemline_model import Predictions

__all__ = ["Answer", "Chunk", "Engine"]


@dataclass(slots=True, eq=False)
class Chunk:
    """Images that were fetched together and go to the same model.

    Attributes:
        slot: the model that answers them; held until it has, whatever is swapped meanwhile.
        deliveries: the images, after decoding only those that could be decoded.
        batch: the batch they are, when they are all of it: it is acknowledged at once.
        received_at: when they were taken from the broker.
        taken: the same by ``time.perf_counter``, in seconds.
        images: uint8 (N, height, width, channels), once decoded; before that, the engine's thread decodes it.
        rejected: what could not be decoded, and why.
        decode_seconds: what decoding took.
        tries: models that have failed on it.
    """

    slot: Slot
    deliveries: list[Delivery]
    batch: Batch | None
    received_at: datetime
    taken: float
    images: npt.NDArray[np.uint8] | None = None
    rejected: list[tuple[Delivery, str]] = field(default_factory=list)
    decode_seconds: float = 0.0
    tries: int = 0


@dataclass(slots=True, eq=False)
class Answer:
    """What one run of the engine gave for several chunks: predictions in their order, or an error, or neither when
    no image was left to predict.

    Attributes:
        waited: seconds that the engine waited for these chunks.
        ran: seconds that it worked on them.
        cpu: seconds of processor time of its thread among those; more threads of the engine are not seen here.
    """

    chunks: list[Chunk]
    predictions: Predictions | None
    error: str | None
    predicted_at: datetime
    waited: float
    ran: float
    cpu: float


class Engine:
    """A thread with an inbox.

    It takes its next batch from the inbox itself: asking the event loop for one would leave it idle for as long as
    the loop is busy. The inbox needs no bound of its own, because the pipeline bounds the chunks in flight.

    Args:
        batch_images: images in one run at most, unless a single chunk has more.
        decode: decodes a chunk that comes without pixels.
        on_answer: called on the engine's thread with each answer.
    """

    def __init__(
        self,
        batch_images: int,
        decode: Callable[[Chunk], None],
        on_answer: Callable[[Answer], None],
    ) -> None:
        """The thread begins with ``start``."""
        self._batch_images = batch_images
        self._decode = decode
        self._on_answer = on_answer
        self._inbox: deque[Chunk] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def put(self, chunk: Chunk) -> None:
        """Add a chunk; from any thread."""
        with self._news:
            self._inbox.append(chunk)
            self._news.notify()

    def close(self) -> None:
        """Answer what waits, then end; blocks until then."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            began = time.perf_counter()
            chunks = self._take()
            if not chunks:
                return
            self._on_answer(_answer(chunks, self._decode, began))

    def _take(self) -> list[Chunk]:
        """Every waiting chunk for the same model, up to a full batch; none at the end."""
        with self._news:
            while not self._inbox:
                if self._closed:
                    return []
                self._news.wait()
            chunks = [self._inbox.popleft()]
            count = len(chunks[0].deliveries)
            while self._inbox and self._inbox[0].slot is chunks[0].slot:
                count += len(self._inbox[0].deliveries)
                if count > self._batch_images:
                    break
                chunks.append(self._inbox.popleft())
            return chunks


def _answer(chunks: list[Chunk], decode: Callable[[Chunk], None], began: float) -> Answer:
    started, cpu = time.perf_counter(), time.thread_time()
    predictions, error = None, None
    try:
        for chunk in chunks:
            if chunk.images is None:
                decode(chunk)
        parts = [chunk.images for chunk in chunks if chunk.images is not None and chunk.deliveries]
        if parts:
            images = parts[0] if len(parts) == 1 else np.concatenate(parts)
            predictions = chunks[0].slot.classifier.predict(images)
    except Exception as problem:  # noqa: BLE001 - the engine's errors have no common type, and the thread must live
        error = " ".join(str(problem).split())[:300] or type(problem).__name__
    now = datetime.now(UTC)
    ended = time.perf_counter()
    return Answer(
        chunks,
        predictions,
        error,
        now,
        waited=started - began,
        ran=ended - started,
        cpu=time.thread_time() - cpu,
    )
