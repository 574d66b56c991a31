"""Following the rollout document: load beside what serves, flip between two batches, keep the old until it is safe."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from hemline_api.rollout import Rollout
from hemline_inference._errors import RefusalReason, VersionRefused, VersionUnavailable
from hemline_inference._settings import Timing
from hemline_inference._slots import Serving, Slot, serve
from hemline_inference._source import ModelSource

__all__ = ["SwapMeter", "Swapper"]

_log = logging.getLogger(__name__)


class SwapMeter(Protocol):
    """What is counted about swaps."""

    def swapped(self, serving: Serving, seconds: float) -> None:
        """Another document, or another model under it, serves now."""

    def refused(self, reason: RefusalReason) -> None:
        """A version cannot serve."""


class Swapper:
    """Holds the reference to what serves, and moves it.

    All but the loading happens on the event loop, between two batches.

    Args:
        source: loads a version; called on a thread.
        document: the rollout document as it is now.
        timing: periods.
        meter: what to count.

    Attributes:
        serving: what answers now; None until the first model is there.
        refused: version the document names, and why it does not serve.
        problem: what is being waited for; None when nothing is.
        ready: set once something serves.
    """

    def __init__(
        self,
        source: ModelSource,
        document: Callable[[], Rollout | None],
        timing: Timing,
        meter: SwapMeter,
    ) -> None:
        """Nothing is loaded before ``follow``."""
        self._source = source
        self._document = document
        self._timing = timing
        self._meter = meter
        self.serving: Serving | None = None
        self.refused: dict[int, str] = {}
        self.problem: str | None = "no rollout document yet"
        self.ready = asyncio.Event()
        self._applied: Rollout | None = None
        # What serves again should a new model fail at its first batch, and the new models that are not proven yet.
        self._previous: Serving | None = None
        self._unproven: set[Slot] = set()
        # Passed its warm-up and failed on real images: not tried again under the same document.
        self._failed: set[int] = set()
        self._retry_at = 0.0

    async def follow(self) -> None:
        """Apply each new document, for ever."""
        while True:
            document = self._document()
            if document is not None and self._is_due(document):
                await self._apply(document)
            await asyncio.sleep(self._timing.rollout_poll)

    def answered(self, slot: Slot) -> None:
        """A model has answered a batch: once all new ones have, the old ones are let go."""
        if slot in self._unproven:
            self._unproven.discard(slot)
            if not self._unproven:
                self._previous = None

    def failed(self, slot: Slot, message: str) -> bool:
        """A model raised on a batch. Returns whether another one serves instead, so that the batch may go there.

        A model that has answered before stays: then the fault is not the version's.
        """
        now = self.serving
        if now is None or slot not in now.slots():
            return now is not None
        if slot not in self._unproven:
            return False
        others = {each.version: each for each in now.slots() if each is not slot}
        instead = serve(now.rollout, others, self._previous)
        if instead is None or slot in instead.slots():
            return False
        self._unproven.discard(slot)
        self._failed.add(slot.version)
        self._refuse(VersionRefused(slot.version, "failed", f"it raises: {message}"))
        self.serving = instead
        self._meter.swapped(instead, 0.0)
        return True

    def _is_due(self, document: Rollout) -> bool:
        if document != self._applied:
            return True
        again = set(self.refused) - self._failed
        return bool(again) and time.monotonic() >= self._retry_at

    async def _apply(self, document: Rollout) -> None:
        began = time.perf_counter()
        if document != self._applied:
            self._failed.clear()
        in_use = {s for held in (self._previous, self.serving) if held for s in held.slots()}
        loaded = {slot.version: slot for slot in in_use if slot.version not in self._failed}
        refusals: list[VersionRefused] = []
        for version in document.versions():
            if version in loaded or version in self._failed:
                continue
            try:
                slot = await self._load(version, document)
            except VersionRefused as refusal:
                refusals.append(refusal)
                continue
            if slot is None:
                return
            loaded[version] = slot
        self._flip(document, loaded, refusals, began)

    async def _load(self, version: int, document: Rollout) -> Slot | None:
        """The version, ready; None when another document has come meanwhile."""
        pause = self._timing.retry_first
        while True:
            self.problem = f"loading version {version}"
            try:
                return Slot(version, await asyncio.to_thread(self._source.load, version))
            except VersionUnavailable as error:
                self.problem = str(error)
                _log.warning("%s; trying again in %.1f s", error, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._timing.retry_most)
            if self._document() != document:
                return None

    def _flip(
        self,
        document: Rollout,
        loaded: dict[int, Slot],
        refusals: list[VersionRefused],
        began: float,
    ) -> None:
        before, after = self.serving, serve(document, loaded, self.serving)
        known = self.refused if document == self._applied else {}
        self.refused = {version: known[version] for version in self._failed if version in known}
        for refusal in refusals:
            self._refuse(refusal, quiet=known.get(refusal.version) == str(refusal))
        self._applied = document
        self._retry_at = time.monotonic() + self._timing.retry_refused
        self.problem = (
            None if after else "; ".join(f"version {v}: {r}" for v, r in self.refused.items())
        )
        if after is None or after == before:
            return
        if before is not None:
            fresh = set(after.slots()) - set(before.slots())
            if not self._unproven:
                self._previous = before
            self._unproven = (self._unproven & set(after.slots())) | fresh
            if not self._unproven:
                self._previous = None
        self.serving = after
        self.ready.set()
        seconds = time.perf_counter() - began
        self._meter.swapped(after, seconds)
        _log.info(
            "revision %d: version %s answers, ready in %.0f ms",
            document.revision,
            " and ".join(map(str, after.versions())),
            seconds * 1e3,
        )

    def _refuse(self, refusal: VersionRefused, *, quiet: bool = False) -> None:
        # A new dictionary, because /status reads it from another thread.
        self.refused = {**self.refused, refusal.version: str(refusal)}
        if not quiet:
            self._meter.refused(refusal.reason)
            _log.error("version %d is refused: %s", refusal.version, refusal)
