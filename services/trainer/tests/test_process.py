"""The trainer as a process: through to its report, killed, stopped, refused."""

import json
import signal
from typing import Any

import pytest

from hemline_api.report import TrainingReport

Place = Any
pytestmark = pytest.mark.timeout(900)

QUICK = ("--steps", "60", "--batch-size", "64", "--checkpoint-every", "0.1")


def test_a_drift_is_healed_once_however_often_the_run_is_started(place: Place) -> None:
    before = place.add_stream("stream", inverted=True)
    trainer = place.trainer("run-1", *QUICK, "--steps", "150", "--nice", "5")
    assert trainer.run() == 0, trainer.log()
    report = TrainingReport.from_json(trainer.report.read_bytes())
    assert report.verdict == "Improved", report.reasons
    assert report.promotable
    assert (report.version, report.base_version, report.steps) == (2, 1, 150)
    frozen, fresh = report.evaluations
    assert (frozen.name, fresh.name) == ("frozen", "fresh")
    assert fresh.candidate_accuracy > fresh.incumbent_accuracy + 0.3
    assert report.samples > report.fresh_samples > 600
    assert report.reasons[0].startswith("fresh:")
    assert TrainingReport.from_json(trainer.digest.read_bytes()) == report
    assert TrainingReport.from_json(place.lake.reports.get("run-1")) == report

    card = place.lake.models.card(2)
    assert (card["parent"], card["run_uid"]) == (1, "run-1")
    assert card["snapshot"] == report.snapshot.model_dump()
    assert card["snapshot"]["images"] > before.images
    assert card["parameters"]["verdict"] == "Improved"
    assert card["temperature"] == report.temperature

    # Started again it finds its own report, wherever it was killed.
    trainer.report.unlink()
    assert trainer.run() == 0
    assert TrainingReport.from_json(trainer.report.read_bytes()) == report
    place.lake.objects.delete(["reports/run-1.json"])
    trainer.report.unlink()
    assert trainer.run() == 0
    again = TrainingReport.from_json(trainer.report.read_bytes())
    assert again.model_copy(update={"finished_at": report.finished_at}) == report
    assert place.lake.reports.get("run-1") is not None
    assert place.lake.models.versions() == [1, 2]


def test_killed_trainer_and_killed_server_change_nothing(place: Place) -> None:
    place.add_stream("stream", inverted=True)
    trainer = place.trainer("run-1", *QUICK, "--steps", "400").start()
    reached = trainer.wait_for_step(30)
    place.kill_server()
    assert trainer.signal(signal.SIGKILL) == -signal.SIGKILL
    place.start_server()
    trainer.start()
    resumed = trainer.wait_for_step(1)
    # Checkpoints are a tenth of a second apart: nothing like the beginning, and never beyond what was reached.
    assert resumed > 1
    place.kill_server()
    place.start_server()
    further = trainer.wait_for_step(reached + 30)
    assert trainer.wait() == 0, trainer.log()
    assert further > reached
    report = TrainingReport.from_json(trainer.report.read_bytes())
    assert (report.version, report.steps) == (2, 400)
    assert place.lake.models.versions() == [1, 2]
    assert "Traceback" not in trainer.log()


def test_sigterm_keeps_a_checkpoint_and_says_that_the_run_can_go_on(place: Place) -> None:
    place.add_stream("stream", inverted=True)
    trainer = place.trainer("run-1", *QUICK, "--steps", "300", "--checkpoint-every", "1000").start()
    reached = trainer.wait_for_step(10)
    assert trainer.signal(signal.SIGTERM) == 75
    assert not trainer.report.exists()
    assert "can be resumed" in trainer.log().splitlines()[-1]
    trainer.start()
    assert trainer.wait_for_step(1) > reached
    # A checkpoint that the library refuses, after an upgrade say, must not make every start fail.
    assert trainer.signal(signal.SIGTERM) == 75
    (checkpoint,) = trainer.report.parent.glob("work/*/checkpoint/*")
    checkpoint.write_bytes(b"not what it was")
    trainer.start().wait_for_step(1)
    assert "begins anew" in trainer.log()
    # Another number of steps is another schedule: the checkpoint cannot serve it, and the run begins anew.
    assert trainer.signal(signal.SIGTERM) == 75
    assert trainer.run("--steps", "20") == 0, trainer.log()
    assert trainer.told()["steps"] == 20


def test_without_a_drift_the_candidate_is_published_but_not_for_promotion(place: Place) -> None:
    place.add_stream("stream", inverted=False)
    trainer = place.trainer("run-1", *QUICK, "--min-class-held-out", "5")
    assert trainer.run() == 0, trainer.log()
    report = TrainingReport.from_json(trainer.report.read_bytes())
    assert report.version == 2
    assert not report.promotable
    assert place.lake.models.card(2)["parameters"]["verdict"] == report.verdict


def test_too_few_new_labels_end_before_any_training(place: Place) -> None:
    before = place.add_stream("stream", inverted=True, count=40)
    trainer = place.trainer("run-1", *QUICK)
    assert trainer.run() == 3
    told = trainer.told()
    assert (told["verdict"], told["steps"]) == ("NotEnoughData", 0)
    assert "version" not in told
    assert "expected at least" in told["reasons"][0]
    assert place.lake.models.versions() == [1]
    # Since now there is nothing new at all.
    since = place.samples.snapshot()
    assert since != before
    text = json.dumps(since.model_dump())
    nothing = place.trainer("run-2", *QUICK, "--fresh-since", text)
    assert nothing.run() == 3
    assert nothing.told()["fresh_samples"] == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--fresh-since", "yesterday"), 2, "--fresh-since: received 'yesterday'"),
        (("--steps", "0"), 2, "--steps"),
        (("--base", "7"), 1, "7"),
        (("--samples", "127.0.0.1:1", "--patience", "1"), 1, "no sample server answered for 1 s"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    still: Place, options: tuple[str, ...], code: int, words: str
) -> None:
    trainer = still.trainer("run-1", *QUICK, *options)
    assert trainer.run() == code
    assert words in trainer.log()
    assert "Traceback" not in trainer.log()
    assert not trainer.report.exists()
