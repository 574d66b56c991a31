"""The command line of the sample services."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from datetime import timedelta
from typing import Annotated, Any

import typer

from hemline_api.topics import Topics
from hemline_broker import connect
from hemline_runtime import HttpEndpoint, LogFormat, Metrics, configure_logging, stop_event
from hemline_samples._catalog import Catalog
from hemline_samples._collect import Grouping
from hemline_samples._collect_metrics import CollectMetrics
from hemline_samples._collector import Collector
from hemline_samples._init import init_lake
from hemline_samples._lake_gauges import LakeGauges
from hemline_samples._observer import BrokerObserver
from hemline_samples._serve_metrics import ServeMetrics
from hemline_samples._server import Server, ServeSettings
from hemline_samples._upkeep import keep_up
from hemline_store import Lake

__all__ = ["app"]

_log = logging.getLogger(__name__)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The data set: `init` fills a new lake, `collect` writes what the broker brings into it, `serve` streams it "
    "to trainers over gRPC, `upkeep` keeps it fast and small.",
)


def _env(name: str) -> str:
    return f"HEMLINE_{name}"


LakeOption = Annotated[
    str,
    typer.Option(
        "--lake",
        envvar=_env("LAKE"),
        help="Where images, labels and models live: a folder, file:///…, s3://… or gs://…",
    ),
]
ClassifierOption = Annotated[
    str,
    typer.Option("--classifier", envvar=_env("CLASSIFIER"), help="Name of the classifier."),
]
NamespaceOption = Annotated[
    str,
    typer.Option("--namespace", envvar=_env("NAMESPACE"), help="Prefix of the topics, if any."),
]
HttpOption = Annotated[
    str,
    typer.Option(
        "--http",
        envvar=_env("HTTP"),
        help="HOST:PORT of /metrics, /healthz and /status; port 0 picks a free one.",
    ),
]
LogLevelOption = Annotated[
    str,
    typer.Option("--log-level", envvar=_env("LOG_LEVEL"), help="debug, info, warning or error."),
]
LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", envvar=_env("LOG_FORMAT"), help="text or json.")
]


@app.command()
def init(
    lake: LakeOption,
    classifier: ClassifierOption,
    model: Annotated[
        str,
        typer.Option(
            envvar=_env("MODEL"),
            help="Version 1: the name of a shipped model, or a folder as `hemline train` writes it.",
        ),
    ] = "fashion-mnist",
    data: Annotated[
        str,
        typer.Option(
            envvar=_env("DATA"),
            help="The original data set: a name, a folder, or `none` to import nothing.",
        ),
    ] = "fashion-mnist-sample",
    namespace: NamespaceOption = "",
    log_level: LogLevelOption = "info",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Fill a new lake: publish version 1 and import the data set it was trained on.

    Does nothing where that is done already; may be killed, repeated, and run by several processes at once.
    """
    configure_logging(log_level, log_format)
    Topics(classifier, namespace)
    init_lake(Lake(lake, classifier), model=model, data=None if data == "none" else data)


@app.command()
def upkeep(
    lake: LakeOption,
    classifier: ClassifierOption,
    keep_versions: Annotated[
        float,
        typer.Option(
            envvar=_env("KEEP_VERSIONS"),
            min=1.0,
            help="Hours that an old version of the tables stays readable for whoever still reads it.",
        ),
    ] = 168.0,
    expire_unlabelled: Annotated[
        float | None,
        typer.Option(
            envvar=_env("EXPIRE_UNLABELLED"),
            min=1.0,
            help="Hours after which a stream image that no label came for is removed; default: never.",
        ),
    ] = None,
    namespace: NamespaceOption = "",
    log_level: LogLevelOption = "info",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Keep a lake fast and small: join small files, remove old versions. For a schedule; ends when it is done.

    Safe while everything runs. Snapshots that a model or a run names stay readable.
    """
    configure_logging(log_level, log_format)
    Topics(classifier, namespace)
    keep_up(
        Lake(lake, classifier),
        keep_versions=timedelta(hours=keep_versions),
        expire_unlabelled=timedelta(hours=expire_unlabelled) if expire_unlabelled else None,
    )


@app.command()
def collect(
    broker: Annotated[
        str,
        typer.Option(
            envvar=_env("BROKER"),
            help="Where messages come from: sqlite:///PATH, kafka://HOST:PORT, pubsub://PROJECT",
        ),
    ],
    lake: LakeOption,
    classifier: ClassifierOption,
    namespace: NamespaceOption = "",
    http: HttpOption = "127.0.0.1:0",
    group_rows: Annotated[
        int,
        typer.Option(envvar=_env("GROUP_ROWS"), min=1, max=65_536, help="Messages to a commit."),
    ] = 4096,
    group_mib: Annotated[
        int,
        typer.Option(envvar=_env("GROUP_MIB"), min=1, max=4_096, help="MiB to a commit."),
    ] = 64,
    group_seconds: Annotated[
        float,
        typer.Option(
            envvar=_env("GROUP_SECONDS"),
            min=0.0,
            max=60.0,
            help="Wait for a group to fill: how late a label may become visible, and how few files are written.",
        ),
    ] = 1.0,
    log_level: LogLevelOption = "info",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Write images, labels and predictions from the broker into the lake.

    A message is acknowledged once its rows are committed, so this process may be killed at any moment; rows that come
    twice count once. What is no label or prediction goes to the dead-letter topic with the reason. Run as many
    replicas as you like. SIGTERM commits what is in hand and ends.
    """
    configure_logging(log_level, log_format)
    metrics = Metrics()
    collector = Collector.open(
        Lake(lake, classifier), Topics(classifier, namespace), CollectMetrics(metrics)
    )
    grouping = Grouping(rows=group_rows, size=group_mib << 20, seconds=group_seconds)

    endpoint = HttpEndpoint(
        http, registry=metrics.registry, status=collector.status, healthy=collector.problem
    )

    async def run() -> None:
        async with (
            stop_event() as stop,
            connect(broker, observer=BrokerObserver(metrics)) as connection,
        ):
            _log.info("collecting for %s, /status on port %d", classifier, endpoint.port)
            await collector.run(connection, grouping, stop)

    with endpoint:
        _run_one(run())


@app.command()
def serve(
    lake: LakeOption,
    classifier: ClassifierOption,
    listen: Annotated[
        str,
        typer.Option(envvar=_env("LISTEN"), help="HOST:PORT of the gRPC services; 0 picks a port."),
    ] = "127.0.0.1:50051",
    http: HttpOption = "127.0.0.1:0",
    max_streams: Annotated[
        int,
        typer.Option(envvar=_env("MAX_STREAMS"), min=1, max=1_000, help="Streams open at once."),
    ] = 16,
    workers: Annotated[
        int | None,
        typer.Option(
            envvar=_env("WORKERS"), min=1, max=256, help="Decoding threads; default: one a core."
        ),
    ] = None,
    cache_mib: Annotated[
        int,
        typer.Option(envvar=_env("CACHE_MIB"), min=0, help="Memory for decoded images, in MiB."),
    ] = 512,
    namespace: NamespaceOption = "",
    log_level: LogLevelOption = "info",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Stream the data set over gRPC: the base MnistService and the batched SampleService.

    A stream depends on nothing but its request (snapshot, seed, shard, position), so any number of servers may run
    side by side, and a client goes on at another one where it was. SIGTERM ends open streams between two batches.
    """
    configure_logging(log_level, log_format)
    Topics(classifier, namespace)
    metrics = Metrics()
    catalog = Catalog(Lake(lake, classifier), cache_bytes=cache_mib << 20)
    settings = ServeSettings(max_streams=max_streams, workers=workers or os.cpu_count() or 1)
    _run_one(_serve(catalog, listen, http, metrics, settings))


async def _serve(
    catalog: Catalog, listen: str, http: str, metrics: Metrics, settings: ServeSettings
) -> None:
    async with stop_event() as stop:
        with Server(listen, catalog, ServeMetrics(metrics), settings) as server:
            address = f"{listen.rpartition(':')[0]}:{server.port}"
            endpoint = HttpEndpoint(
                http,
                registry=metrics.registry,
                status=lambda: {"listen": address, **catalog.status()},
                healthy=catalog.problem,
            )
            counting = asyncio.create_task(LakeGauges(catalog, metrics.registry).follow())
            with endpoint:
                _log.info("serving on %s, /status on port %d", address, endpoint.port)
                await _until(stop, counting)
                _log.info("stopping: open streams end at their next batch")


async def _until(stop: asyncio.Event, beside: "asyncio.Task[None]") -> None:
    """Wait for ``stop``; what runs beside it ends with it, and its failure is the caller's."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, beside}, return_when=asyncio.FIRST_COMPLETED)
        if beside.done():
            beside.result()
    finally:
        stopping.cancel()
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


def _run_one(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; of several failures at once the first is what the user is told."""
    try:
        asyncio.run(work)
    except* Exception as group:  # noqa: BLE001 - only unwrapped
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
