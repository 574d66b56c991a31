"""The command ``hemline up``."""

import asyncio
import logging
import os
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from hemline._files import AlreadyLocked, FileLock
from hemline._place import StateDir, StateOption, find_default_state
from hemline.up._driver import Driver
from hemline.up._journal import Journal
from hemline.up._settings import GateSettings, TrainerSettings, UpSettings
from hemline.up._setup import ensure_topics, first_state, initialise_lake
from hemline_api.topics import Topics
from hemline_operator.lifecycle import CanaryPolicy, Event, Policy, RunLimits
from hemline_runtime import Failure, HttpEndpoint, UsageFailure, configure_logging, stop_event
from hemline_store import Lake

__all__ = ["run_installation", "up"]

_LOOP = "When a new model is made"
_GATE = "What it must hold"
_RUN = "How it is made"
_log = logging.getLogger(__name__)

_EXAMPLES = """
Examples:

  hemline up                                   everything in .hemline/up, with the shipped Fashion-MNIST model

  hemline up --model my-model --data photos/   your own model, and the data set it was trained on

  hemline up --every 500 --canary 0.1          fine-tune every 500 labels; a tenth of the images try it first

  hemline up --broker kafka://localhost:9092   on your Kafka

Then, in another terminal: hemline top, hemline send IMAGE, hemline models. Ctrl-C ends everything in order; the next
hemline up goes on where this one was.
"""


def _env(name: str) -> str:
    return f"HEMLINE_{name}"


def up(
    state: StateOption = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar=_env("BROKER"),
            help="kafka://HOST:PORT, pubsub://PROJECT, sqlite:///PATH; default: one in the state directory.",
            show_default=False,
        ),
    ] = None,
    classifier: Annotated[
        str, typer.Option(envvar=_env("CLASSIFIER"), help="Its topics are NAME.images, ...")
    ] = "mnist",
    namespace: Annotated[
        str, typer.Option(envvar=_env("NAMESPACE"), help="Prefix of the topics, if any.")
    ] = "",
    lake: Annotated[
        str | None,
        typer.Option(
            envvar=_env("LAKE"),
            help="Where samples and models are kept: a folder, s3:// or gs://; default: in the state directory.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="What a new lake begins with: a shipped model or a directory.")
    ] = "fashion-mnist",
    data: Annotated[
        str,
        typer.Option(help="What that model was trained on: a shipped data set, a path, or none."),
    ] = "fashion-mnist-sample",
    every: Annotated[
        int,
        typer.Option(
            min=1,
            help="Labelled samples from the stream, since the last attempt, that make a fine-tune due.",
            rich_help_panel=_LOOP,
        ),
    ] = 1000,
    cooldown: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Seconds from the end of a fine-tune to the start of the next at least.",
            rich_help_panel=_LOOP,
        ),
    ] = 0.0,
    suspend: Annotated[
        bool, typer.Option("--suspend", help="Start no fine-tune.", rich_help_panel=_LOOP)
    ] = False,
    canary: Annotated[
        str,
        typer.Option(
            metavar="off|FRACTION",
            help="Share of the images that a new version answers on trial before it goes live.",
            rich_help_panel=_LOOP,
        ),
    ] = "off",
    canary_labels: Annotated[
        int,
        typer.Option(
            min=10,
            help="Labelled answers of each version to judge a trial by.",
            rich_help_panel=_LOOP,
        ),
    ] = 200,
    max_frozen_drop: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Accuracy it may lose on the frozen validation set.",
            rich_help_panel=_GATE,
        ),
    ] = 0.02,
    max_class_drop: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Recall it may lose for one class.", rich_help_panel=_GATE
        ),
    ] = 0.15,
    significance: Annotated[
        float,
        typer.Option(
            min=1e-9,
            max=0.5,
            help="p-value below which a gain on the newest labels counts (McNemar).",
            rich_help_panel=_GATE,
        ),
    ] = 0.05,
    steps: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Training steps.", rich_help_panel=_RUN)
    ] = 250,
    batch_size: Annotated[
        int, typer.Option(min=2, max=65_536, help="Samples a step.", rich_help_panel=_RUN)
    ] = 128,
    nice: Annotated[
        int,
        typer.Option(
            min=0,
            max=19,
            help="How far the trainer steps back for the services (19: as far as it goes).",
            rich_help_panel=_RUN,
        ),
    ] = 10,
    retries: Annotated[
        int,
        typer.Option(
            min=0, help="Starts after the first before a run is given up.", rich_help_panel=_RUN
        ),
    ] = 3,
    deadline: Annotated[
        float,
        typer.Option(min=1.0, help="Seconds after which a start is ended.", rich_help_panel=_RUN),
    ] = 3600.0,
    threads: Annotated[
        int, typer.Option(envvar=_env("THREADS"), min=1, help="Threads of the serving engine.")
    ] = 1,
    http: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of this command's /status, /metrics, /healthz (port 0 picks a free one)."
        ),
    ] = "127.0.0.1:0",
    log_level: Annotated[
        str, typer.Option(envvar=_env("LOG_LEVEL"), help="debug, info, warning or error.")
    ] = "info",
) -> None:
    """Run inference, sample collection and the fine-tuning loop on this machine.

    Images on NAME.images are classified, answers go to NAME.predictions, labels are awaited on NAME.labels. When
    enough labelled samples have come, a new model is fine-tuned beside the running service, judged, and swapped in.
    """
    place = StateDir(state if state is not None else find_default_state())
    settings = UpSettings(
        place=place,
        broker=broker or f"sqlite:///{quote(str(place.broker.resolve()))}",
        lake=lake or str(place.lake.resolve()),
        classifier=classifier,
        namespace=namespace,
        model=model,
        data=data,
        http=http,
        threads=threads,
        log_level=log_level,
        policy=Policy(
            every=every,
            cooldown=timedelta(seconds=cooldown),
            suspended=suspend,
            canary=CanaryPolicy(fraction=parse_canary(canary), min_labelled=canary_labels),
            limits=RunLimits(retries=retries, deadline=timedelta(seconds=deadline)),
        ),
        trainer=TrainerSettings(steps=steps, batch_size=batch_size, niceness=nice),
        gate=GateSettings(
            max_frozen_drop=max_frozen_drop,
            max_class_drop=max_class_drop,
            significance=significance,
        ),
    )
    try:
        configure_logging(log_level)
        Topics(classifier, namespace)
    except ValueError as error:
        raise UsageFailure(f"{error}") from error
    run_installation(settings)


def run_installation(settings: UpSettings) -> None:
    """Run one installation until SIGTERM or Ctrl-C.

    Raises:
        Failure: another process runs it, its lake cannot be set up, or a service cannot be started.
    """
    try:
        with FileLock(settings.place.lock, f"hemline up, process {os.getpid()}"):
            settings.place.make_current()
            asyncio.run(_run(settings))
    except AlreadyLocked as error:
        raise Failure(
            f"{settings.state} is in use by {error.holder or 'another hemline up'}; end that one, or give another "
            "directory with --state"
        ) from error
    except OSError as error:
        raise Failure(f"{settings.state}: {error}") from error


async def _run(settings: UpSettings) -> None:
    async with stop_event() as stop:
        journal = Journal(settings.place)
        state = journal.load()
        if state is None:
            await asyncio.to_thread(initialise_lake, settings)
            state = await asyncio.to_thread(first_state, settings)
            journal.save(state)
        elif state.classifier != settings.classifier:
            raise UsageFailure(
                f"{settings.state} belongs to the classifier {state.classifier!r}, received --classifier "
                f"{settings.classifier}; give each classifier a state directory of its own with --state"
            )
        await ensure_topics(settings)
        driver = Driver(
            settings,
            journal,
            state,
            known_versions=Lake(settings.lake, settings.classifier).models.versions,
            announce=_print_event,
        )
        endpoint = HttpEndpoint(
            settings.http,
            registry=driver.metrics.registry,
            status=driver.status,
            healthy=driver.problem,
        )
        with endpoint:
            host = settings.http.rpartition(":")[0] or "127.0.0.1"
            print(
                f"state in {settings.state}, status at http://{host}:{endpoint.port}/status",
                flush=True,
            )
            await driver.run(stop, f"{host}:{endpoint.port}")
        print("ended; `hemline up` goes on from here", flush=True)


def parse_canary(text: str) -> float | None:
    """The share of images for a trial, or None for ``off``.

    Raises:
        UsageFailure: it is neither.
    """
    if text == "off":
        return None
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0.0 < fraction < 1.0:
        raise UsageFailure(
            f"--canary: received {text!r}, expected off or a share between 0 and 1, as in 0.1"
        )
    return fraction


def _print_event(event: Event) -> None:
    print(f"{event.at.astimezone():%H:%M:%S} {event.kind}: {event.message}", flush=True)


up.__doc__ = f"{up.__doc__}\n{_EXAMPLES}"
