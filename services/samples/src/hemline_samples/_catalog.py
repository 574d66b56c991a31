"""What `serve` knows of the lake: the input contract, opened snapshots, counts; each asked for once, then kept."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from hemline_model import Card, InputContract
from hemline_samples._cache import DecodedCache
from hemline_samples._dataset import DataSet, Flags
from hemline_samples._errors import NotReady, SamplesError
from hemline_samples._source import SampleSource
from hemline_store import Lake, Snapshot, StoreError
from hemline_store.tables import STREAM, WINDOW, Samples, Summary

__all__ = ["Catalog", "Contract"]

_CARD_SECONDS: Final = 5.0
_OPEN_SNAPSHOTS: Final = 4

_Value = TypeVar("_Value")


class Contract:
    """Class names and input of the newest published version, and the source that brings images to it."""

    def __init__(self, card: Card, source: SampleSource, cache: DecodedCache) -> None:
        """Keep what belongs together: a cache holds images of one input contract."""
        self.classes = tuple(card.classes)
        self.input: InputContract = card.input
        self.source = source
        self.cache = cache


class Catalog:
    """Answers from the lake; may be used by many threads."""

    def __init__(self, lake: Lake, *, cache_bytes: int) -> None:
        """Open the sample tables, making those that are missing.

        Raises:
            StoreError: the lake cannot be used.
        """
        self.lake = lake
        self.samples = Samples.open(lake)
        self._cache_bytes = cache_bytes
        self._contract: Contract | None = None
        self._contract_at = float("-inf")
        self._contract_lock = threading.Lock()
        self._data: _Kept[DataSet] = _Kept(_OPEN_SNAPSHOTS)

    def contract(self) -> Contract:
        """What the newest published version takes.

        Raises:
            NotReady: no version is published yet.
            StoreError: the lake cannot be read.
        """
        with self._contract_lock:
            if self._contract is None or time.monotonic() - self._contract_at > _CARD_SECONDS:
                self._contract = self._refreshed(self._contract)
                self._contract_at = time.monotonic()
            return self._contract

    def data(self, snapshot: Snapshot | None) -> DataSet:
        """The labelled samples of a snapshot; None: of the lake as it is now.

        Raises:
            NotReady: no version is published yet.
            StoreError: the lake cannot be read, or the snapshot is not there.
        """
        contract = self.contract()
        at = snapshot if snapshot is not None else self.samples.snapshot()
        key = (at, contract.classes, contract.input)
        return self._data.get(key, lambda: self._open(at, contract))

    def summary(
        self, *, since: Snapshot | None, window: int | None, answered_since: Snapshot | None
    ) -> Summary:
        """Counts as they are now.

        Raises:
            NotReady: no version is published yet.
            StoreError: the lake cannot be read.
        """
        return self.samples.summary(
            self.contract().classes,
            since=since,
            window=window or WINDOW,
            answered_since=answered_since,
        )

    def status(self) -> dict[str, object]:
        """What ``/status`` shows, without asking the lake."""
        contract = self._contract
        if contract is None:
            return {"classes": None, "input": None}
        return {
            "classes": contract.classes,
            "input": str(contract.input),
            "cached_images": contract.cache.count(),
        }

    def problem(self) -> str | None:
        """Why streams cannot be served at the moment, None when they can."""
        try:
            self.contract()
        except (SamplesError, StoreError) as error:
            return str(error)
        return None

    def _refreshed(self, known: Contract | None) -> Contract:
        versions = self.lake.models.versions()
        if not versions:
            raise NotReady(
                f"{self.lake.uri} holds no model version yet, which would say what images are brought to: "
                "run `hemline-samples init`"
            )
        try:
            card = Card.model_validate(self.lake.models.card(versions[-1]))
        except ValidationError as error:
            raise NotReady(
                f"the card of version {versions[-1]} cannot be used: {error.errors()[0]['msg']}"
            ) from error
        if known and (known.classes, known.input) == (tuple(card.classes), card.input):
            return known
        cache = DecodedCache(card.input, self._cache_bytes)
        return Contract(card, SampleSource(self.samples.take, card.input, cache), cache)

    def _open(self, snapshot: Snapshot, contract: Contract) -> DataSet:
        index = self.samples.index(snapshot, contract.classes)
        ids: list[str] = index.id.tolist()

        def fresh_after(since: Snapshot | None) -> Flags:
            if since is None:
                stream: Flags = index.origin == STREAM
                return stream
            return self.samples.labelled_after(index, since)

        return DataSet(
            snapshot=snapshot,
            contract=contract.input,
            classes=contract.classes,
            ids=ids,
            rows=index.row,
            labels=index.label,
            splits=index.split,
            origins=index.origin,
            places=contract.cache.places(ids),
            fresh_after=fresh_after,
        )


class _Kept(Generic[_Value]):
    """The values used last, by key; two threads that need the same one compute it once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._lock = threading.Lock()
        self._busy: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            try:
                value = compute()
            finally:
                with self._lock:
                    self._busy.pop(key, None)
            with self._lock:
                self._values[key] = value
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
            return value
