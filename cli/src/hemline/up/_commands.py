"""The command line of every child. Pure."""

import sys
from dataclasses import dataclass
from typing import Final

from hemline.up._settings import UpSettings
from hemline_operator.lifecycle import FineTune

__all__ = ["SERVICES", "TRAINER", "Ports", "service_command", "trainer_command"]

SERVICES: Final = ("serve", "collect", "inference")
"""In the order of their start; they end in the reverse one."""

TRAINER: Final = "trainer"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a child listens on the loopback: the same after a restart, so that its clients find it again."""

    http: int
    listen: int | None = None

    def addresses(self) -> tuple[str, str | None]:
        """``HOST:PORT`` of the endpoints and of gRPC."""
        listen = f"127.0.0.1:{self.listen}" if self.listen is not None else None
        return f"127.0.0.1:{self.http}", listen


def service_command(name: str, settings: UpSettings, ports: Ports) -> list[str]:
    """What starts the service ``name``."""
    http, listen = ports.addresses()
    stream = ["--broker", settings.broker, "--namespace", settings.namespace]
    common = ["--classifier", settings.classifier, "--lake", settings.lake]
    common += ["--http", http, "--log-level", settings.log_level]
    match name:
        case "inference":
            own = ["hemline_inference", *stream, "--rollout", str(settings.place.rollout)]
            own += ["--cache", str(settings.place.models), "--threads", str(settings.threads)]
        case "collect":
            own = ["hemline_samples", "collect", *stream]
        case _:
            own = ["hemline_samples", "serve", "--listen", listen or http]
    return [sys.executable, "-m", *own, *common]


def init_command(settings: UpSettings) -> list[str]:
    """What brings the initial model and data set into a new lake."""
    return [
        *(sys.executable, "-m", "hemline_samples", "init"),
        *("--lake", settings.lake, "--classifier", settings.classifier),
        *("--model", settings.model, "--data", settings.data),
    ]


def trainer_command(settings: UpSettings, run: FineTune, ports: Ports, samples: str) -> list[str]:
    """What starts the trainer of ``run``; ``samples`` is the address of the sample service."""
    place = settings.place
    http, _ = ports.addresses()
    return [
        *(sys.executable, "-m", "hemline_trainer"),
        *("--samples", samples, "--lake", settings.lake),
        *("--classifier", settings.classifier, "--uid", run.uid),
        *("--base", str(run.base_version), "--report-file", str(place.report(run.uid))),
        *("--work", str(place.fine_tune(run.uid) / "work")),
        *("--steps", str(settings.trainer.steps)),
        *("--batch-size", str(settings.trainer.batch_size)),
        *("--nice", str(settings.trainer.niceness)),
        *("--max-frozen-drop", str(settings.gate.max_frozen_drop)),
        *("--max-class-drop", str(settings.gate.max_class_drop)),
        *("--significance", str(settings.gate.significance)),
        *("--http", http, "--log-level", settings.log_level),
    ]
