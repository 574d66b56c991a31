"""The command line of the simulator."""

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

import hemline_model
from hemline_broker import connect
from hemline_client_sim._answers import Outcome
from hemline_client_sim._client import Client
from hemline_client_sim._console import answer_line, books_lines
from hemline_client_sim._errors import SimulatorError
from hemline_client_sim._ids import check_run
from hemline_client_sim._journal import Header, read_journal
from hemline_client_sim._ledger import Ledger, open_ledger
from hemline_client_sim._metrics import SimulatorMetrics
from hemline_client_sim._options import Limits, Options
from hemline_client_sim._phases import Phases
from hemline_client_sim._schedule import DelayShape, Schedule
from hemline_client_sim._status import Status
from hemline_client_sim._stream import Encoding, Stream
from hemline_runtime import (
    Failure,
    HttpEndpoint,
    LogFormat,
    Metrics,
    UsageFailure,
    configure_logging,
    stop_event,
)

__all__ = ["app"]

_STUCK_SECONDS = 30.0
_log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _env(name: str) -> str:
    return f"HEMLINE_{name}"


@app.command()
def simulate(
    broker: Annotated[
        str,
        typer.Option(
            envvar=_env("BROKER"),
            help="Where images go: sqlite:///PATH, kafka://HOST:PORT, pubsub://PROJECT.",
        ),
    ],
    classifier: Annotated[
        str,
        typer.Option(
            envvar=_env("CLASSIFIER"), help="Its topics are NAME.images, NAME.predictions, ..."
        ),
    ] = "mnist",
    namespace: Annotated[
        str, typer.Option(envvar=_env("NAMESPACE"), help="Prefix of the topics, if any.")
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            envvar=_env("DATA"),
            help="Data set whose even-indexed test images are streamed: a name or a path.",
        ),
    ] = "fashion-mnist-sample",
    interval: Annotated[
        float, typer.Option(envvar=_env("INTERVAL"), help="Mean seconds between images.")
    ] = 5.0,
    spread: Annotated[
        float,
        typer.Option(
            envvar=_env("SPREAD"),
            help="Standard deviation of that as a share of it (Gaussian, cut at zero; 0: a regular beat).",
        ),
    ] = 0.2,
    rate: Annotated[
        float | None,
        typer.Option(
            envvar=_env("RATE"),
            help="Images per second instead of --interval; --speed leaves it alone.",
        ),
    ] = None,
    label_delay: Annotated[
        float,
        typer.Option(
            envvar=_env("LABEL_DELAY"),
            help="Mean seconds from an image to its true label, sent whether the prediction was right or not.",
        ),
    ] = 120.0,
    delay_shape: Annotated[
        DelayShape,
        typer.Option(envvar=_env("DELAY_SHAPE"), help="How those delays are distributed."),
    ] = DelayShape.GAMMA,
    speed: Annotated[
        float,
        typer.Option(envvar=_env("SPEED"), help="Divides --interval and --label-delay."),
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option(envvar=_env("COUNT"), min=1, help="End after so many images.")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(envvar=_env("DURATION"), min=0.0, help="End after so many real seconds."),
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            envvar=_env("DRAIN"),
            min=0.0,
            help="Seconds to wait at the end for answers and labels; labels not due by then are sent at once.",
        ),
    ] = 30.0,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            envvar=_env("DRIFT"),
            metavar="KIND[:AMOUNT][@TIME]",
            help="A change of the stream from TIME on (real time, not scaled by --speed); repeatable, changes add up: "
            "inversion@30s, rotation:20@1m, blur:1.5, dark:0.4, noise:40, mix:sandal=3+bag=1, none.",
        ),
    ] = None,
    label_noise: Annotated[
        float,
        typer.Option(envvar=_env("LABEL_NOISE"), help="Share of labels that name a wrong class."),
    ] = 0.0,
    corrupt: Annotated[
        float,
        typer.Option(
            envvar=_env("CORRUPT"),
            help="Share of images sent as bytes that are none: they must come back as dead letters.",
        ),
    ] = 0.0,
    encoding: Annotated[
        Encoding, typer.Option(envvar=_env("ENCODING"), help="How images travel.")
    ] = Encoding.PNG,
    seed: Annotated[
        int,
        typer.Option(
            envvar=_env("SEED"), min=0, help="Reproduces order, delays, noise and corruption."
        ),
    ] = 0,
    run: Annotated[
        str | None,
        typer.Option(
            envvar=_env("RUN"), help="First part of every image id; random when not given."
        ),
    ] = None,
    books: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("BOOKS"),
            help="Where the final books go; their journal lies beside it (.jsonl). Default: books-RUN.json.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            envvar=_env("RESUME"),
            help="Go on with the journal of --books, if there is one: after a crash nothing is lost or doubled.",
        ),
    ] = False,
    window: Annotated[
        int,
        typer.Option(
            envvar=_env("WINDOW"),
            min=1,
            help="Newest answers of each version that live accuracy is taken over.",
        ),
    ] = 200,
    console: Annotated[
        bool, typer.Option("--console", envvar=_env("CONSOLE"), help="Print each answer.")
    ] = False,
    http: Annotated[
        str, typer.Option(envvar=_env("HTTP"), help="HOST:PORT of /metrics, /healthz, /status.")
    ] = "127.0.0.1:0",
    log_level: Annotated[
        str, typer.Option(envvar=_env("LOG_LEVEL"), help="debug, info, warning or error.")
    ] = "info",
    log_format: Annotated[
        LogFormat, typer.Option(envvar=_env("LOG_FORMAT"), help="Text for people, or JSON.")
    ] = LogFormat.TEXT,
) -> None:
    """Stream test images like a client would, send their labels late, and keep the books.

    Images leave with a Gaussian delay of mean 5 s, each true label follows after a gamma-distributed delay of mean
    120 s. Predictions are collected with a consumer group of the run's own. At the end (--count, --duration, SIGTERM
    or Ctrl-C) it waits for what is outstanding, writes the books, and exits with 0 only if they balance: everything
    sent was answered exactly once, nothing is unexplained.

    Try: hemline-client-sim --broker sqlite:///.hemline/broker.db --speed 100 --count 200 --console
    """
    try:
        configure_logging(log_level, log_format)
    except ValueError as error:
        raise UsageFailure(f"--log-level: {error}") from error
    try:
        name = check_run(run or _run_to_resume(books, resume=resume) or secrets.token_hex(3))
        drifts = tuple(drift or ())
        options = Options(
            run=name,
            classifier=classifier,
            namespace=namespace,
            data=data,
            schedule=Schedule(
                seed=seed,
                interval=interval,
                spread=spread,
                label_delay=label_delay,
                delay_shape=delay_shape,
                speed=speed,
                rate=rate,
            ),
            drifts=drifts,
            phases=Phases.parse(drifts),
            books=books or Path(f"books-{name}.json"),
            resume=resume,
            limits=Limits(count=count, duration=duration, drain=drain),
            window=window,
            console=console,
        )
        stream = Stream(
            hemline_model.dataset(data),
            seed=seed,
            phases=options.phases,
            label_noise=label_noise,
            corrupt=corrupt,
            encoding=encoding,
        )
        header = Header(
            run=name,
            classifier=classifier,
            data=data,
            seed=seed,
            drifts=drifts,
            started=time.time(),
        )
        going_on = resume and options.journal.exists()
        ledger = open_ledger(options.journal, header, window=window, resume=going_on)
    except SimulatorError as error:
        raise UsageFailure(str(error)) from error
    with ledger.journal:
        status = asyncio.run(_run(broker, http, options, ledger, stream))
    for line in books_lines(status):
        print(line)
    if not status.balanced:
        raise Failure("the books do not balance: " + "; ".join(status.problems))


def _run_to_resume(books: Path | None, *, resume: bool) -> str | None:
    if not resume:
        return None
    if books is None:
        raise UsageFailure("--resume needs --books: the file whose run is to go on")
    journal = books.with_suffix(".jsonl")
    return read_journal(journal)[0].run if journal.exists() else None


def _problem(status: Status) -> str | None:
    """A status is made several times a second: an old one means that nothing else happens either."""
    age = time.time() - status.now
    return (
        f"no sign of life for {age:.0f} s"
        if age > _STUCK_SECONDS and status.state != "done"
        else None
    )


async def _run(
    broker_url: str, http: str, options: Options, ledger: Ledger, stream: Stream
) -> Status:
    metrics = Metrics()
    figures = SimulatorMetrics(metrics)

    def on_answer(outcome: Outcome) -> None:
        if outcome.seconds is not None:
            figures.observe_latency(outcome.seconds)
        if options.console:
            print(answer_line(outcome, stream.class_name), flush=True)

    async with stop_event() as stop, connect(broker_url) as broker:
        client = Client(
            broker,
            options,
            ledger,
            stream,
            on_answer=on_answer,
            on_status=figures.update,
        )
        with HttpEndpoint(
            http,
            registry=metrics.registry,
            status=lambda: client.status.model_dump(mode="json"),
            healthy=lambda: _problem(client.status),
        ) as endpoint:
            _log.info(
                "run %s: %s to %s, http on port %d",
                ledger.header.run,
                options.data,
                options.classifier,
                endpoint.port,
            )
            return await client.run(stop)
