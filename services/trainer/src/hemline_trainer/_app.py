"""The command line of the trainer."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from hemline_api.report import TrainingReport, Verdict
from hemline_runtime import (
    Failure,
    HttpEndpoint,
    LogFormat,
    Metrics,
    UsageFailure,
    configure_logging,
)
from hemline_store import Lake, Snapshot
from hemline_trainer._client import SampleClient
from hemline_trainer._errors import Interrupted
from hemline_trainer._gate import GateSettings
from hemline_trainer._options import RunOptions
from hemline_trainer._progress import RunProgress
from hemline_trainer._report import deliver, find_finished
from hemline_trainer._run import Run

__all__ = ["app"]

EXIT_NOT_ENOUGH_DATA: Final = 3
EXIT_INTERRUPTED: Final = 75

_EXIT_CODES: Final = """
Exit codes: 0 the report is written, whatever its verdict; 1 the run failed, the line on stderr says why; 2 an option
cannot be used; 3 there are too few new labelled samples to train on or to judge by (a report with the verdict
NotEnoughData is written, nothing is published); 75 stopped on request: the same command goes on from its checkpoint.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _env(name: str) -> str:
    return f"HEMLINE_{name}"


@app.command(epilog=_EXIT_CODES)
def train(
    samples: Annotated[
        str,
        typer.Option(envvar=_env("SAMPLES"), help="HOST:PORT of `hemline-samples serve`."),
    ],
    lake: Annotated[
        str,
        typer.Option(
            envvar=_env("LAKE"), help="Where versions live: a path, file:// or s3:// URI."
        ),
    ],
    classifier: Annotated[str, typer.Option(envvar=_env("CLASSIFIER"), help="Its name.")],
    uid: Annotated[
        str,
        typer.Option(
            envvar=_env("UID"),
            help="Names the run. Started again with the same uid, a run goes on, or writes its report again: it "
            "never publishes twice.",
        ),
    ],
    base: Annotated[
        int,
        typer.Option(
            envvar=_env("BASE"), min=1, help="Version to start from and to be judged against."
        ),
    ],
    work: Annotated[
        Path,
        typer.Option(
            envvar=_env("WORK"), help="Directory for checkpoints; should outlive the process."
        ),
    ],
    report_file: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("REPORT_FILE"),
            help="Where the report goes, as JSON, in one step. A file that is a mount of its own gets the digest.",
        ),
    ] = None,
    termination_message: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("TERMINATION_MESSAGE"),
            help="Where the report goes cut to less than 4 KiB, such as /dev/termination-log.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            envvar=_env("STEPS"),
            min=1,
            max=1_000_000,
            help="Batches to train on; by default what the model library suggests.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(envvar=_env("BATCH_SIZE"), min=2, max=65_536, help="Samples to a batch.")
    ] = 128,
    fresh_fraction: Annotated[
        float,
        typer.Option(
            envvar=_env("FRESH_FRACTION"),
            min=0.0,
            max=1.0,
            help="Share of each batch drawn from the fresh samples; the rest comes from the whole data set.",
        ),
    ] = 0.5,
    fresh_since: Annotated[
        str | None,
        typer.Option(
            envvar=_env("FRESH_SINCE"),
            help="Fresh are stream samples labelled after this snapshot, a JSON object of images, labels and "
            "predictions. By default the base version's own snapshot; where it has none, all stream samples are fresh.",
        ),
    ] = None,
    min_fresh: Annotated[
        int,
        typer.Option(
            envvar=_env("MIN_FRESH"), min=1, help="Fresh training samples that a run needs."
        ),
    ] = 32,
    seed: Annotated[
        int,
        typer.Option(
            envvar=_env("SEED"), min=0, max=2**32 - 1, help="Of the order and of augmentation."
        ),
    ] = 0,
    max_frozen_drop: Annotated[
        float,
        typer.Option(
            envvar=_env("MAX_FROZEN_DROP"),
            min=0.0,
            max=1.0,
            help="Gate: accuracy that may be lost on the frozen validation set.",
        ),
    ] = 0.02,
    max_class_drop: Annotated[
        float,
        typer.Option(
            envvar=_env("MAX_CLASS_DROP"),
            min=0.0,
            max=1.0,
            help="Gate: recall that any one class may lose.",
        ),
    ] = 0.15,
    significance: Annotated[
        float,
        typer.Option(
            envvar=_env("SIGNIFICANCE"),
            min=1e-9,
            max=0.5,
            help="Gate: p-value below which a change on the newest labels counts (McNemar, exact, two-sided).",
        ),
    ] = 0.05,
    min_fresh_held_out: Annotated[
        int,
        typer.Option(
            envvar=_env("MIN_FRESH_HELD_OUT"),
            min=1,
            help="Gate: held-out samples that are needed among the newest labels.",
        ),
    ] = 20,
    min_class_held_out: Annotated[
        int,
        typer.Option(
            envvar=_env("MIN_CLASS_HELD_OUT"),
            min=1,
            help="Gate: held-out samples of a class for its recall to be judged.",
        ),
    ] = 20,
    max_held_out: Annotated[
        int,
        typer.Option(
            envvar=_env("MAX_HELD_OUT"), min=1, help="Held-out samples of each kind at most."
        ),
    ] = 6_000,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            envvar=_env("CHECKPOINT_EVERY"),
            min=0.0,
            help="Seconds of training between checkpoints: what a killed process loses at most.",
        ),
    ] = 10.0,
    patience: Annotated[
        float,
        typer.Option(
            envvar=_env("PATIENCE"),
            min=0.0,
            help="Seconds to go on trying when no sample server answers.",
        ),
    ] = 300.0,
    nice: Annotated[
        int,
        typer.Option(
            envvar=_env("NICE"),
            min=0,
            max=19,
            help="Lowers this process's priority, so that what serves comes first (19 is lowest).",
        ),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(envvar=_env("THREADS"), min=1, help="Threads to train on; default: all."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            envvar=_env("HTTP"),
            help="HOST:PORT for /metrics, /healthz and /status (port 0 picks a free one); default: none.",
        ),
    ] = None,
    log_level: Annotated[
        str, typer.Option(envvar=_env("LOG_LEVEL"), help="debug, info, warning or error.")
    ] = "info",
    log_format: Annotated[
        LogFormat, typer.Option(envvar=_env("LOG_FORMAT"), help="text or json.")
    ] = LogFormat.TEXT,
) -> None:
    """Fine-tune a version on the data set so far, judge it against that version, publish it, write a report.

    One run, then it ends. Half of each batch are new samples, the other half comes from everything there is. The
    candidate is compared with its base on the same held-out samples; refused or not, it is published as a version,
    and the report's verdict says whether it may go live.
    """
    configure_logging(log_level, log_format)
    options = RunOptions(
        uid=_checked_uid(uid),
        classifier=classifier,
        base=base,
        work=work,
        steps=steps,
        batch_size=batch_size,
        fresh_fraction=fresh_fraction,
        fresh_since=_parse_snapshot(fresh_since),
        min_fresh=min_fresh,
        seed=seed,
        checkpoint_every_s=checkpoint_every,
        max_held_out=max_held_out,
        gate=GateSettings(
            significance=significance,
            max_frozen_drop=max_frozen_drop,
            max_class_drop=max_class_drop,
            min_fresh_samples=min_fresh_held_out,
            min_class_samples=min_class_held_out,
        ),
    )
    os.nice(nice)
    _limit_threads(threads)
    opened = Lake(lake, classifier)
    finished = find_finished(opened, options.uid)
    if finished is not None:
        deliver(finished, full=report_file, digest=termination_message)
        return
    try:
        report = _run(options, opened, samples=samples, patience=patience, http=http)
    except Interrupted as error:
        raise Failure(f"{error}", exit_code=EXIT_INTERRUPTED) from error
    deliver(report, full=report_file, digest=termination_message)
    if report.version is None and report.verdict is Verdict.NOT_ENOUGH_DATA:
        raise Failure(report.reasons[0], exit_code=EXIT_NOT_ENOUGH_DATA)


def _run(
    options: RunOptions, lake: Lake, *, samples: str, patience: float, http: str | None
) -> TrainingReport:
    metrics = Metrics()
    progress = RunProgress(metrics, uid=options.uid, base=options.base)
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_on_signal())
        if http is not None:
            stack.enter_context(
                HttpEndpoint(
                    http,
                    registry=metrics.registry,
                    status=progress.status,
                    healthy=lambda: None,
                )
            )
        stack.enter_context(progress)
        client = stack.enter_context(SampleClient(samples, patience_s=patience, stop=stop))
        return Run(options, lake=lake, client=client, progress=progress, stop=stop).execute()


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or SIGINT sets; the second has its ordinary effect."""
    stop = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: object) -> None:
        stop.set()
        restore()

    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _checked_uid(uid: str) -> str:
    if not 0 < len(uid) <= 256:
        raise UsageFailure(f"--uid: received {len(uid):,} characters, expected 1 to 256")
    return uid


def _parse_snapshot(text: str | None) -> Snapshot | None:
    if not text:
        return None
    try:
        return Snapshot.model_validate_json(text)
    except ValidationError as error:
        raise UsageFailure(
            f"--fresh-since: received {text[:80]!r}, expected a snapshot such as "
            '{"images": 3, "labels": 2, "predictions": 5}'
        ) from error


def _limit_threads(threads: int | None) -> None:
    if threads is None:
        return
    # TensorFlow reads these once, when it is imported, which happens later.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
