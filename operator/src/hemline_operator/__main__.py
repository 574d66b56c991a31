"""``hemline-operator``: the Kubernetes driver's command line."""

import asyncio
import logging
import sys
from dataclasses import replace
from typing import Annotated

import kopf
import typer

from hemline_operator.driver import Settings, run
from hemline_operator.plan import Images

__all__ = ["main"]

_DEFAULT = Settings()
_PLATFORM = _DEFAULT.platform

app = typer.Typer(add_completion=False, context_settings={"auto_envvar_prefix": "HEMLINE_OPERATOR"})


@app.command()
def operator(
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Namespace to look after; may be given several times. Without: all."),
    ] = None,
    inference_image: Annotated[
        str, typer.Option(help="Image of inference pods.")
    ] = _PLATFORM.images.inference,
    samples_image: Annotated[
        str, typer.Option(help="Image of sample pods.")
    ] = _PLATFORM.images.samples,
    trainer_image: Annotated[
        str, typer.Option(help="Image of trainer pods.")
    ] = _PLATFORM.images.trainer,
    pull_policy: Annotated[
        str, typer.Option(help="Always, IfNotPresent or Never.")
    ] = _PLATFORM.pull_policy,
    pull_secret: Annotated[
        list[str] | None, typer.Option(help="Secret to pull images with; several times.")
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="Address of Prometheus, as in http://prometheus:9090: KEDA then scales on Pub/Sub by Hemline's own "
            "count of what waits. Without: by Google's."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Classifiers looked at at once.")
    ] = _DEFAULT.workers,
    poll: Annotated[
        float, typer.Option(min=0.1, help="Seconds between counts of new samples.")
    ] = _PLATFORM.poll_seconds,
    resync: Annotated[
        float, typer.Option(min=1.0, help="Seconds between looks at every classifier.")
    ] = _DEFAULT.resync_seconds,
    freshness: Annotated[
        float, typer.Option(min=1.0, help="Seconds between checks that the watches are alive.")
    ] = _DEFAULT.freshness_seconds,
    stale: Annotated[
        float, typer.Option(min=1.0, help="Seconds that a watch may be behind.")
    ] = _DEFAULT.stale_seconds,
    http: Annotated[
        str, typer.Option(help="Address of /metrics, /healthz, /readyz and /status.")
    ] = _DEFAULT.http,
    log_format: Annotated[str, typer.Option(help="json or text.")] = _DEFAULT.log_format,
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error.")
    ] = _DEFAULT.log_level,
) -> None:
    """Look after ImageClassifiers and FineTunes. Every option is read from HEMLINE_OPERATOR_<NAME> too."""
    images = Images(inference_image, samples_image, trainer_image)
    platform = replace(
        _PLATFORM,
        images=images,
        pull_policy=_one_of("pull-policy", pull_policy, ("Always", "IfNotPresent", "Never")),
        pull_secrets=tuple(pull_secret or ()),
        poll_seconds=poll,
        prometheus=prometheus or None,
    )
    settings = Settings(
        namespaces=tuple(namespace or ()),
        platform=platform,
        workers=workers,
        resync_seconds=resync,
        freshness_seconds=freshness,
        stale_seconds=stale,
        http=_address(http),
        log_format=_one_of("log-format", log_format, ("json", "text")),
        log_level=_one_of("log-level", log_level, ("debug", "info", "warning", "error")),
    )
    _configure_logging(settings)
    try:
        asyncio.run(run(settings))
    except kopf.LoginError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise typer.BadParameter(
            f"received {value!r}, expected {', '.join(known)}", param_hint=f"--{option}"
        )
    return value


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"received {value!r}, expected host:port", param_hint="--http")
    return value


def _configure_logging(settings: Settings) -> None:
    form = kopf.LogFormat.JSON if settings.log_format == "json" else kopf.LogFormat.FULL
    kopf.configure(log_format=form, verbose=True)
    logging.getLogger().setLevel(settings.log_level.upper())
    # A line for each event of each object says nothing: the operator logs what it writes.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
