"""The loop: observe, decide, store, act. The only writer of the rollout document."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hemline._files import write_atomic
from hemline._place import Installation, ProcessAddress
from hemline.up._children import ChildBook, Spawner, find_marked
from hemline.up._housekeeping import Housekeeping
from hemline.up._journal import Journal
from hemline.up._services import Services, end_children
from hemline.up._settings import UpSettings
from hemline.up._status import UpStatus, make_status
from hemline.up._targets import LOCAL_NAMESPACE, scrape_targets
from hemline.up._training import Training
from hemline.up._watch import Watch
from hemline_api import metrics as names
from hemline_operator.lifecycle import (
    Effect,
    Event,
    EventKind,
    Note,
    Observed,
    Reason,
    StartTrainer,
    State,
    StopTrainer,
    TakeSnapshot,
    interrupted,
    record,
    step,
)
from hemline_runtime import Failure, Metrics

__all__ = ["Driver"]

_STARTED: Final = "Started"
_DIED: Final = "Died"
_log = logging.getLogger(__name__)


class Driver:
    """Drives the lifecycle of one local installation.

    Args:
        settings: of the installation.
        journal: its files; the caller holds the lock.
        state: what is stored in them.
        known_versions: asks the lake for its versions.
        announce: called with every new event.
    """

    def __init__(
        self,
        settings: UpSettings,
        journal: Journal,
        state: State,
        *,
        known_versions: Callable[[], list[int]],
        announce: Callable[[Event], None],
    ) -> None:
        """Nothing is started yet."""
        self._settings = settings
        self._journal = journal
        self._state = state
        self._known_versions = known_versions
        self._announce = announce
        self._book = ChildBook(settings.place.processes)
        spawner = Spawner(settings.state)
        self._services = Services(settings, self._book, spawner)
        self._training = Training(settings, self._book, spawner)
        self._housekeeping = Housekeeping(settings, spawner)
        self._watch = Watch(self._services, self._training, lambda: self._state)
        self._note = Note(Reason.SUMMARY_UNKNOWN, "starting")
        self._adopted = 0
        self._ready = False
        self._written: Installation | None = None
        self._targets = b""
        self._address: str | None = None
        self._status: UpStatus | None = None
        self._pin_trouble: str | None = None
        self.metrics = Metrics()
        self._of = (settings.namespace or LOCAL_NAMESPACE, settings.classifier)
        self._gauges = {
            metric.name: self.metrics.gauge(metric)
            for metric in (
                names.LIFECYCLE_RUNNING,
                names.LIFECYCLE_FRESH,
                names.LIFECYCLE_DUE_AT,
                names.LIFECYCLE_REVISION,
                names.LIFECYCLE_LIVE,
            )
        }
        self._fine_tunes = self.metrics.counter(names.LIFECYCLE_FINE_TUNES)
        self._restarts = self.metrics.counter(names.LIFECYCLE_RESTARTS)
        # A series that begins with its first event has no increase to show for it.
        for verdict in names.FINE_TUNE_ENDS:
            self._fine_tunes.labels(*self._of, verdict)
        for service in self._services.all:
            self._restarts.labels(*self._of, service.name)

    def status(self) -> Mapping[str, Any]:
        """For ``/status``; may be called from another thread."""
        status = self._status
        return status.model_dump(mode="json", by_alias=True) if status else {"ready": False}

    def problem(self) -> str | None:
        """For ``/healthz``: why this installation is not ready; None when it is."""
        status = self._status
        if status is None:
            return "starting"
        down = [process.name for process in status.processes if process.state != "running"]
        return f"waiting for {', '.join(down)}" if down else None

    async def run(self, stop: asyncio.Event, address: str) -> None:
        """Run until ``stop`` is set, then end the children in order.

        Args:
            stop: asks for an orderly end.
            address: ``HOST:PORT`` where ``status`` is served.

        Raises:
            Failure: a service cannot be started with these options.
        """
        self._address = address
        found = await asyncio.to_thread(find_marked, self._settings.state)
        if await asyncio.to_thread(self._training.open, found, self._state.active):
            self._adopted += 1
        self._adopted += await asyncio.to_thread(self._services.open, found)
        watching = asyncio.create_task(self._watch.run())
        try:
            while not stop.is_set():
                if watching.done():
                    watching.result()
                again = await self._tick()
                if not again:
                    await _wait(stop, self._settings.interval)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(self._end)

    async def _tick(self) -> bool:
        """One round; returns whether something changed, so that more may follow at once."""
        for restart in self._services.tick():
            self._restarts.labels(*self._of, restart.name).inc()
            self._record(EventKind.PROCESS_RESTARTED, Note(_DIED, restart.message))
        self._housekeeping.tick()
        observed = await self._observe()
        plan = step(self._settings.policy, self._state, observed, datetime.now(UTC))
        changed = plan.state != self._state
        if changed:
            self._save(plan.state)
        self._note = plan.note
        for effect in plan.effects:
            await self._carry_out(effect)
        self._publish()
        return changed

    async def _observe(self) -> Observed:
        state, sight = self._state, self._watch.sight
        run = state.active
        pin = self._read_pin()
        known = None
        if pin is not None and pin != state.pin:
            known = await asyncio.to_thread(self._known_versions)
        return Observed(
            fresh=sight.seen.fresh if sight.seen else None,
            snapshots=dict(sight.snapshots),
            trainer_alive=self._training.child is not None,
            report=self._training.report(run.uid) if run and run.starts else None,
            trial=sight.trial,
            served=sight.served,
            refused=dict(sight.refused),
            pin=pin,
            known=known,
        )

    def _read_pin(self) -> int | None:
        try:
            pin = self._settings.place.read_pin()
        except Failure as error:
            if self._pin_trouble != str(error):
                self._pin_trouble = str(error)
                _log.error("%s", error)
            return self._state.pin  # what cannot be read changes nothing
        self._pin_trouble = None
        return pin

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case TakeSnapshot(uid):
                self._watch.want_snapshot(uid)
            case StartTrainer(run):
                samples = self._services.named("serve").listen or ""
                await asyncio.to_thread(self._training.start, run, samples)
            case StopTrainer():
                await asyncio.to_thread(self._training.stop)

    def _record(self, kind: EventKind, note: Note) -> None:
        now = datetime.now(UTC)
        self._save(record(self._state, kind, note, now, version=self._state.rollout.stable))

    def _save(self, state: State) -> None:
        before = self._state
        new = self._journal.save(state)
        self._state = state
        for event in new:
            self._announce(event)
        if state.last is not None and state.ended > before.ended:
            end = state.last.outcome if state.last.outcome in names.FINE_TUNE_ENDS else "Failed"
            self._fine_tunes.labels(*self._of, end).inc()

    def _publish(self) -> None:
        state, sight = self._state, self._watch.sight
        self._status = make_status(
            state,
            sight,
            self._note,
            every=self._settings.policy.every,
            services=self._services,
            training=self._training,
            events=tuple(self._journal.events.recent),
        )
        for metric, value in (
            (names.LIFECYCLE_RUNNING, int(state.active is not None)),
            (names.LIFECYCLE_FRESH, self._status.fine_tune.fresh or 0),
            (names.LIFECYCLE_DUE_AT, self._settings.policy.every),
            (names.LIFECYCLE_REVISION, state.rollout.revision),
            (names.LIFECYCLE_LIVE, state.rollout.stable),
        ):
            self._gauges[metric.name].labels(*self._of).set(value)
        if self._status.ready and not self._ready:
            self._ready = True
            again = f", {self._adopted} processes were still running" if self._adopted else ""
            message = f"everything answers, version {state.rollout.stable} is live{again}"
            self._record(EventKind.READY, Note(_STARTED, message))
        self._write_installation("ready" if self._ready else "starting")
        self._write_targets()

    def _write_installation(self, word: str) -> None:
        settings = self._settings
        processes = {
            service.name: ProcessAddress(
                pid=service.child.pid if service.child else None,
                http=service.http,
                listen=service.listen,
            )
            for service in self._services.all
        }
        installation = Installation(
            state=word,
            pid=os.getpid(),
            broker=settings.broker,
            classifier=settings.classifier,
            namespace=settings.namespace,
            lake=settings.lake,
            http=self._address,
            processes={} if word == "stopped" else processes,
        )
        if installation != self._written:
            data = installation.model_dump_json(indent=2, exclude_none=True)
            write_atomic(settings.place.installation, data.encode())
            self._written = installation

    def _write_targets(self) -> None:
        settings = self._settings
        addresses: dict[str, str | None] = {"lifecycle": self._address}
        for service in self._services.all:
            addresses[service.name] = service.http if service.child else None
        addresses["trainer"] = self._training.http if self._training.child else None
        targets = scrape_targets(settings.namespace, settings.classifier, addresses)
        if targets != self._targets:
            write_atomic(settings.place.targets, targets)
            self._targets = targets

    def _end(self) -> None:
        self._housekeeping.stop()
        if self._training.stop():
            self._save(interrupted(self._state, datetime.now(UTC)))
        # Inference first: what it has answered is collected before collect ends.
        children = [service.child for service in reversed(self._services.all) if service.child]
        end_children(children, self._settings.stop_seconds)
        self._book.write({})
        self._write_installation("stopped")
        write_atomic(self._settings.place.targets, b"[]\n")


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
