"""The command line of the service."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from hemline_inference._service import serve
from hemline_inference._settings import Limits, Settings, default_cache
from hemline_runtime import LogFormat, configure_logging

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# The engine's thread needs the interpreter's lock between two batches. With the default of 5 ms it may wait that long
# each time, which costs a twentieth of the throughput; handing over more often costs less than can be measured.
_SWITCH_INTERVAL_S = 0.0005

_LIMITS = Limits()


@app.command()
def inference(
    broker: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_BROKER",
            help="Where images come from: kafka://HOST:PORT, pubsub://PROJECT, sqlite:///FILE.",
            show_default=False,
        ),
    ],
    classifier: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_CLASSIFIER",
            help="Name of the classifier: it reads CLASSIFIER.images and answers on CLASSIFIER.predictions.",
            show_default=False,
        ),
    ],
    lake: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_LAKE",
            help="Where model versions lie: a folder, file:///FOLDER, s3://BUCKET/FOLDER.",
            show_default=False,
        ),
    ],
    rollout: Annotated[
        Path,
        typer.Option(
            envvar="HEMLINE_ROLLOUT",
            help="The rollout document, which says the version that answers. It need not exist yet; when it "
            "changes, models are swapped without a pause.",
            show_default=False,
        ),
    ],
    http: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_HTTP",
            help="HOST:PORT of /metrics, /healthz and /status; port 0 picks a free one and logs it.",
        ),
    ] = "127.0.0.1:0",
    namespace: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_NAMESPACE", help="Prefix of the topic names, as in Kubernetes."
        ),
    ] = "",
    group: Annotated[
        str,
        typer.Option(
            envvar="HEMLINE_GROUP",
            help="Consumer group; processes with the same one share the images.",
        ),
    ] = "inference",
    threads: Annotated[
        int, typer.Option(envvar="HEMLINE_THREADS", min=1, max=256, help="Threads of the engine.")
    ] = 1,
    decode_threads: Annotated[
        int,
        typer.Option(
            envvar="HEMLINE_DECODE_THREADS",
            min=1,
            max=64,
            help="Threads that decode images. One is enough for small ones, photographs want more.",
        ),
    ] = _LIMITS.decode_threads,
    batch: Annotated[
        int,
        typer.Option(
            envvar="HEMLINE_BATCH",
            min=1,
            max=1024,
            help="Images in one run of the engine at most. A run takes what waits: one when idle.",
        ),
    ] = _LIMITS.batch_images,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            envvar="HEMLINE_PROBABILITIES",
            help="Publish the probability of every class, not of the best one alone.",
        ),
    ] = False,
    console: Annotated[
        bool,
        typer.Option(
            "--console", envvar="HEMLINE_CONSOLE", help="Print each prediction as a line on stdout."
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="HEMLINE_CACHE",
            help="Folder for fetched models; by default hemline/models in the user's cache.",
            show_default=False,
        ),
    ] = None,
    log_level: Annotated[
        str, typer.Option(envvar="HEMLINE_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
    log_format: Annotated[
        LogFormat, typer.Option(envvar="HEMLINE_LOG_FORMAT", help="How a log line looks.")
    ] = LogFormat.TEXT,
) -> None:
    """Classify the images of a topic, for ever: images in, predictions out.

    An image is acknowledged when its prediction is durable, so this process may be killed at any moment. What is no
    image goes to CLASSIFIER.dead with the reason. SIGTERM finishes what is in flight.

    Example: hemline-inference --broker sqlite:///broker.db --classifier mnist --lake ./lake --rollout rollout.json
    --console
    """
    if log_level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter(
            f"received {log_level!r}, expected debug, info, warning or error",
            param_hint="--log-level",
        )
    configure_logging(log_level, log_format)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    settings = Settings(
        broker=broker,
        classifier=classifier,
        lake=lake,
        rollout=rollout,
        namespace=namespace,
        http=http,
        group=group,
        threads=threads,
        probabilities=probabilities,
        console=console,
        cache=cache or default_cache(),
        limits=Limits(batch_images=batch, decode_threads=decode_threads),
    )
    asyncio.run(serve(settings))
