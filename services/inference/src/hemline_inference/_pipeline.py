"""Fetch, decode, predict and publish, each going on while the others do."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from hemline_api.events import JSON_CONTENT_TYPE, PREDICTION_TYPE
from hemline_broker import (
    AckLost,
    Broker,
    BrokerError,
    Delivery,
    InvalidMessage,
    Message,
    SendFailed,
    Subscription,
    TooLarge,
)
from hemline_inference._console import Console, prediction_line
from hemline_inference._decoding import decode_chunk, split
from hemline_inference._encode import encode_predictions, fractions
from hemline_inference._engine import Answer, Chunk, Engine
from hemline_inference._meter import Meter
from hemline_inference._settings import Settings
from hemline_inference._swap import Swapper

__all__ = ["Pipeline"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_SOURCE = "/hemline/inference"
_UNSENDABLE = (TooLarge, InvalidMessage)


class Pipeline:
    """Images from a subscription to predictions on a topic.

    The event loop fetches and publishes, a pool decodes, the engine's thread predicts. A fixed number of batches is
    between fetching and acknowledging, so when the engine is the bottleneck what waits grows on the broker, and the
    next batch with it. An image is acknowledged when its prediction is durable, or its dead letter is.

    Args:
        broker: where predictions go.
        subscription: where images come from; entered, and not used by anyone else.
        topic: of the predictions.
        models: what answers.
        meter: what is counted.
        settings: limits and periods.
        console: prints each prediction, when given.
    """

    def __init__(
        self,
        broker: Broker,
        subscription: Subscription,
        topic: str,
        models: Swapper,
        meter: Meter,
        settings: Settings,
        console: Console | None,
    ) -> None:
        """Nothing is fetched before ``run``."""
        self._broker = broker
        self._subscription = subscription
        self._topic = topic
        self._models = models
        self._meter = meter
        self._settings = settings
        self._limits = settings.limits
        self._console = console
        self._places = asyncio.Semaphore(settings.limits.batches_in_flight)
        self._chunks = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._publishing: set[asyncio.Task[None]] = set()
        self._ended = False

    async def run(self, stop: asyncio.Event) -> None:
        """Answer images until ``stop`` is set, then finish what is in flight, within the drain deadline.

        Raises:
            BrokerError: the broker refuses for good; what is unacknowledged comes again.
        """
        self._loop = asyncio.get_running_loop()
        self._decoders = ThreadPoolExecutor(self._limits.decode_threads, "decode")
        self._engine = Engine(self._limits.batch_images, decode_chunk, self._from_engine)
        self._engine.start()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                fetching = self._tasks.create_task(self._fetch())
                await _either(stop, fetching)
                fetching.cancel()
                await self._drain()
        finally:
            self._ended = True
            self._decoders.shutdown(wait=True, cancel_futures=True)
            self._engine.close()

    # --- fetch and decode --------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        await self._models.ready.wait()
        limits = self._limits
        # A place is taken before the broker is asked, so that a batch is all that waits at the time it can be used.
        await self._places.acquire()
        began = time.perf_counter()
        batches = self._subscription.batches(limits.batch_images, max_bytes=limits.batch_bytes)
        async for batch in batches:
            self._meter.spent("fetch_wait", time.perf_counter() - began)
            serving = self._models.serving
            if serving is None:
                raise RuntimeError("fetched before a model was ready")
            chunks = split(
                batch, serving, images=limits.batch_images, decoded_bytes=limits.decoded_bytes
            )
            for number, chunk in enumerate(chunks):
                if number:
                    await self._places.acquire()
                self._submit(chunk)
            await self._places.acquire()
            began = time.perf_counter()

    def _submit(self, chunk: Chunk) -> None:
        self._chunks += 1
        self._empty.clear()
        if self._chunks == 1 and self._is_light(chunk):
            self._engine.put(chunk)
        else:
            self._decoders.submit(self._decode, chunk)

    def _is_light(self, chunk: Chunk) -> bool:
        limits = self._limits
        if len(chunk.deliveries) > limits.alone_images:
            return False
        return sum(len(each.message.data) for each in chunk.deliveries) <= limits.alone_bytes

    def _decode(self, chunk: Chunk) -> None:
        """Runs in the pool."""
        try:
            decode_chunk(chunk)
        except MemoryError:
            self._call(self._postpone, [chunk])
            return
        if chunk.deliveries:
            self._engine.put(chunk)
        else:
            self._call(self._finish, [chunk])

    # --- predict -----------------------------------------------------------------------------------------------

    def _from_engine(self, answer: Answer) -> None:
        """Runs on the engine's thread."""
        self._call(self._answered, answer)

    def _answered(self, answer: Answer) -> None:
        self._meter.ran(answer)
        slot = answer.chunks[0].slot
        if answer.error is None and answer.predictions is None:
            self._finish(answer.chunks)
        elif answer.error is None:
            self._models.answered(slot)
            task = self._tasks.create_task(self._publish(answer))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
        elif self._models.failed(slot, answer.error):
            self._redirect(answer.chunks)
        else:
            _log.error("the engine failed, its images are delivered again: %s", answer.error)
            self._postpone(answer.chunks)

    def _redirect(self, chunks: Sequence[Chunk]) -> None:
        """Give images whose model failed to the one that serves instead."""
        serving = self._models.serving
        for chunk in chunks:
            if serving is None or chunk.tries >= 1:
                self._postpone([chunk])
                continue
            self._reject(chunk)
            chunk.slot, chunk.images = serving.stable, None
            chunk.tries += 1
            self._decoders.submit(self._decode, chunk)

    def _postpone(self, chunks: Sequence[Chunk]) -> None:
        """Have images delivered again later: neither they nor their model are known to be at fault."""
        for chunk in chunks:
            for delivery in chunk.deliveries:
                delivery.nack(self._settings.timing.retry_first)
        self._finish(chunks)

    # --- publish -----------------------------------------------------------------------------------------------

    async def _publish(self, answer: Answer) -> None:
        began = time.perf_counter()
        deliveries = [delivery for chunk in answer.chunks for delivery in chunk.deliveries]
        messages = self._messages(answer)
        encoded = time.perf_counter()
        self._meter.spent("encode", encoded - began)
        refused = await self._send(deliveries, messages)
        durable = time.perf_counter()
        self._meter.spent("publish", durable - encoded)
        for chunk in answer.chunks:
            self._reject(chunk)
            if chunk.batch is not None:
                chunk.batch.ack()
            else:
                for delivery in chunk.deliveries:
                    delivery.ack()
        self._finish(answer.chunks)
        kept = [at for at in range(len(deliveries)) if at not in refused]
        self._account(answer, kept, durable)
        self._meter.aged([deliveries[at].message.time for at in kept], datetime.now(UTC))
        if self._console is not None:
            self._console.show(_lines(answer, [deliveries[at].message.id for at in kept], kept))

    def _messages(self, answer: Answer) -> list[Message]:
        predictions = answer.predictions
        if predictions is None:
            raise RuntimeError("a failed answer cannot be published")
        labels, confidence = predictions.labels.tolist(), fractions(predictions.confidence).tolist()
        every: list[list[float]] | None = None
        if self._settings.probabilities:
            every = fractions(predictions.probabilities).tolist()
        slot = answer.chunks[0].slot
        names = slot.classifier.card.classes
        messages: list[Message] = []
        start = 0
        for chunk in answer.chunks:
            ids = [delivery.message.id for delivery in chunk.deliveries]
            part = slice(start, start + len(ids))
            start += len(ids)
            bodies = encode_predictions(
                ids,
                labels[part],
                names,
                confidence[part],
                every[part] if every is not None else None,
                model_version=slot.version,
                received_at=chunk.received_at,
                predicted_at=answer.predicted_at,
            )
            messages += [
                Message(
                    body,
                    key=image_id,
                    id=image_id,
                    type=PREDICTION_TYPE,
                    source=_SOURCE,
                    time=answer.predicted_at,
                    content_type=JSON_CONTENT_TYPE,
                )
                for image_id, body in zip(ids, bodies, strict=True)
            ]
        return messages

    async def _send(self, deliveries: list[Delivery], messages: list[Message]) -> set[int]:
        """Make every message durable, however long the broker is away; returns which could never be sent."""
        timing = self._settings.timing
        pause = timing.retry_first
        refused: set[int] = set()
        places = list(range(len(messages)))
        while True:
            try:
                await self._broker.send_many(
                    self._topic, [messages[at] for at in places], timeout=timing.send
                )
            except SendFailed as failure:
                errors = {places[at]: error for at, error in failure.errors.items()}
            except BrokerError as failure:
                if not failure.retryable:
                    raise
                errors = dict.fromkeys(places, failure)
            else:
                self._meter.sending(None)
                return refused
            for at, error in errors.items():
                if isinstance(error, _UNSENDABLE):
                    deliveries[at].reject(f"its prediction cannot be sent: {error}")
                    self._meter.rejected("unsendable")
                    refused.add(at)
                elif not error.retryable:
                    raise error
            places = [at for at in errors if at not in refused]
            if not places:
                return refused
            problem = f"{len(places)} predictions cannot be sent now: {errors[places[0]]}"
            self._meter.sending(problem)
            _log.warning("%s; trying again in %.1f s", problem, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, timing.retry_most)

    def _account(self, answer: Answer, kept: list[int], durable: float) -> None:
        predictions, slot = answer.predictions, answer.chunks[0].slot
        if predictions is None:
            return
        names = slot.classifier.card.classes
        self._meter.published(
            slot.version, names, predictions.labels[kept], predictions.confidence[kept]
        )
        for chunk in answer.chunks:
            self._meter.took(durable - chunk.taken, len(chunk.deliveries))

    def _reject(self, chunk: Chunk) -> None:
        for delivery, reason in chunk.rejected:
            delivery.reject(reason)
            self._meter.rejected("undecodable")
        chunk.rejected = []

    def _finish(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._reject(chunk)
            self._places.release()
        self._chunks -= len(chunks)
        if not self._chunks:
            self._empty.set()

    # --- the end -----------------------------------------------------------------------------------------------

    def _call(self, function: Callable[[T], None], argument: T) -> None:
        self._loop.call_soon_threadsafe(self._unless_ended, function, argument)

    def _unless_ended(self, function: Callable[[T], None], argument: T) -> None:
        # What a thread finished after the end belongs to a subscription that is closed.
        if not self._ended:
            function(argument)

    async def _drain(self) -> None:
        """Wait for what is in flight; what is not done by the deadline comes again elsewhere."""
        try:
            async with asyncio.timeout(self._settings.timing.drain):
                await self._empty.wait()
                await self._subscription.settled()
        except TimeoutError:
            _log.warning(
                "%d batches were not finished within %g s; their images come again",
                self._chunks,
                self._settings.timing.drain,
            )
        except AckLost as error:
            _log.warning("%s", error)
        self._ended = True
        for task in self._publishing:
            task.cancel()


def _lines(answer: Answer, ids: list[str], kept: list[int]) -> list[str]:
    if answer.predictions is None:
        return []
    slot = answer.chunks[0].slot
    names = slot.classifier.card.classes
    labels = answer.predictions.labels[kept].tolist()
    confidence = answer.predictions.confidence[kept].tolist()
    return [
        prediction_line(image_id, names[label], sure, slot.version)
        for image_id, label, sure in zip(ids, labels, confidence, strict=True)
    ]


async def _either(stop: asyncio.Event, task: "asyncio.Task[None]") -> None:
    """Return when the event is set or the task has ended."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
