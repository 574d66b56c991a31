"""The command lines of the demo's two processes. Pure."""

from hemline.demo._settings import DemoSettings

__all__ = ["simulator_arguments", "up_arguments"]


def up_arguments(settings: DemoSettings) -> list[str]:
    """`hemline` options that start the installation."""
    return [
        "up",
        f"--state={settings.state}",
        *([f"--broker={settings.broker}"] if settings.broker else []),
        f"--classifier={settings.classifier}",
        f"--namespace={settings.namespace}",
        f"--data={settings.data}",
        f"--every={settings.every}",
        f"--steps={settings.steps}",
        "--cooldown=0",
    ]


def simulator_arguments(
    settings: DemoSettings, *, broker: str, http: str, drain: float
) -> list[str]:
    """`hemline-client-sim` options; with --resume the same ones start it again after a crash."""
    return [
        f"--broker={broker}",
        f"--classifier={settings.classifier}",
        f"--namespace={settings.namespace}",
        f"--data={settings.data}",
        f"--rate={settings.rate}",
        f"--label-delay={settings.label_delay}",
        f"--seed={settings.seed}",
        f"--books={settings.books}",
        "--resume",
        f"--drain={drain}",
        f"--http={http}",
        *(f"--drift={drift}" for drift in settings.drifts),
    ]
