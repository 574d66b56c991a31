"""One fine-tuning run from snapshot to report; may be killed at any moment and started again."""

import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

import hemline_model as hm
from hemline_api.grpc import samples_pb2 as pb
from hemline_api.report import TrainingReport, Verdict
from hemline_store import Lake
from hemline_trainer._client import SampleClient, Samples
from hemline_trainer._document import card_fields, make_report
from hemline_trainer._errors import Interrupted, NotEnoughData
from hemline_trainer._gate import HeldOut, Judgement, judge
from hemline_trainer._held_out import fetch, fresh_request, frozen_request
from hemline_trainer._options import RunOptions
from hemline_trainer._prefetch import prefetch
from hemline_trainer._progress import RunProgress
from hemline_trainer._start import Start, begin, require_enough
from hemline_trainer._state import WorkDirectory

if TYPE_CHECKING:
    from hemline_trainer._train import Candidate

__all__ = ["Run"]

_AHEAD_BATCHES: Final = 8
_AHEAD_BYTES: Final = 256 << 20
_LEAST_FROZEN: Final = 500


class Run:
    """One run, made of parts that others opened and close."""

    def __init__(
        self,
        options: RunOptions,
        *,
        lake: Lake,
        client: SampleClient,
        progress: RunProgress,
        stop: threading.Event,
    ) -> None:
        """Prepare; ``execute`` does it."""
        self._options = options
        self._lake = lake
        self._client = client
        self._progress = progress
        self._stop = stop
        self._work = WorkDirectory(options.work, options.uid)

    def execute(self) -> TrainingReport:
        """Train, judge and publish.

        Returns:
            The report, which is in the lake too; without a version when there was not enough data.

        Raises:
            Interrupted: the run was asked to stop; executed again it goes on where it was.
            TrainerError, StoreError, ModelError: it cannot be done.
        """
        self._go_on("starting", f"fine-tuning version {self._options.base}")
        steps = self._options.steps or _default_steps()
        start = begin(self._options, self._work, self._lake, self._client, steps=steps)
        try:
            require_enough(start, self._options)
        except NotEnoughData as error:
            judgement = Judgement(Verdict.NOT_ENOUGH_DATA, (str(error),), ())
            return self._finish(
                make_report(self._options, start, judgement, steps=0, temperature=None)
            )
        # TensorFlow takes seconds to import: not before it is known that there is something to train on.
        from hemline_trainer import _train

        self._progress.begin_training(steps, fresh=start.reply.fresh_train_samples)
        candidate = _train.train(
            start.base,
            lambda step: self._training_batches(start, step),
            steps=steps,
            seed=self._options.seed,
            checkpoint=self._work.checkpoint,
            checkpoint_every_s=self._options.checkpoint_every_s,
            on_step=self._progress.on_step,
            stop=self._stop,
        )
        report, held_out = self._judge(start, candidate)
        self._go_on("exporting", "exporting the candidate")
        shutil.rmtree(self._work.export, ignore_errors=True)
        candidate.export(card_fields(self._options, start, report), self._work.export, held_out)
        self._go_on("publishing", "publishing the version")
        version = self._lake.models.publish(self._work.export, uid=self._options.uid)
        return self._finish(report.model_copy(update={"version": version}))

    def _training_batches(self, start: Start, step: int) -> Iterator[Samples]:
        request = pb.BatchRequest(
            snapshot=start.reply.snapshot,
            split="train",
            seed=self._options.seed,
            position=step,
            batch_size=self._options.batch_size,
            num_batches=max(1, start.steps - step),
            mix=pb.Mix(fresh_fraction=self._options.fresh_fraction, fresh_since=start.fresh_since),
        )
        batch_bytes = self._options.batch_size * start.card.input.num_bytes
        return prefetch(
            self._client.batches(request, start.shape),
            depth=max(1, min(_AHEAD_BATCHES, _AHEAD_BYTES // batch_bytes)),
            stop=self._stop,
            on_wait=self._progress.on_wait,
        )

    def _judge(self, start: Start, candidate: "Candidate") -> tuple[TrainingReport, Samples]:
        frozen, fresh = self._held_out(start)
        self._go_on("judging", f"judging on {len(frozen):,} frozen and {len(fresh):,} new samples")
        # The candidate is judged by its floating-point weights, so the incumbent is, too.
        incumbent = hm.load(start.base, threads=2, precision="float32")
        frozen_logits, fresh_logits = (candidate.logits(part.images) for part in (frozen, fresh))
        compared = [
            HeldOut(
                name,
                part.labels,
                candidate=logits.argmax(axis=1),
                incumbent=incumbent.logits(part.images).argmax(axis=1),
            )
            for name, part, logits in (
                ("frozen", frozen, frozen_logits),
                ("fresh", fresh, fresh_logits),
            )
        ]
        judgement = judge(compared[0], compared[1], start.card.classes, self._options.gate)
        # Confidence has to mean something on the stream as it is now: of the old data, no more than of the new,
        # but enough that a few dozen new samples do not decide alone.
        some = slice(0, max(len(fresh), _LEAST_FROZEN))
        temperature = candidate.temperature(
            np.concatenate([frozen_logits[some], fresh_logits]),
            np.concatenate([frozen.labels[some], fresh.labels]),
        )
        report = make_report(
            self._options, start, judgement, steps=start.steps, temperature=temperature
        )
        held_out = Samples(
            np.concatenate([frozen.images, fresh.images]),
            np.concatenate([frozen.labels, fresh.labels]),
        )
        return report, held_out

    def _held_out(self, start: Start) -> tuple[Samples, Samples]:
        self._go_on("evaluating", "fetching held-out samples")
        snapshot, limit = start.reply.snapshot, self._options.max_held_out
        frozen = frozen_request(snapshot, limit=limit, shape=start.shape)
        fresh = fresh_request(snapshot, start.fresh_since, limit=limit, shape=start.shape)
        return (
            fetch(self._client, frozen, start.shape),
            fetch(self._client, fresh, start.shape),
        )

    def _finish(self, report: TrainingReport) -> TrainingReport:
        self._lake.reports.put(self._options.uid, report.to_json())
        self._work.clear()
        facts = {"verdict": report.verdict.value, "version": report.version}
        self._progress.phase("done", f"{report.verdict}: {report.reasons[0]}", **facts)
        return report

    def _go_on(self, phase: str, message: str) -> None:
        if self._stop.is_set():
            raise Interrupted(f"stopped before {phase}; what was done so far is kept")
        self._progress.phase(phase, message)


def _default_steps() -> int:
    from hemline_trainer import _train

    return _train.default_steps()
