"""Every command that a pod is given is one that its service understands."""

from typing import Any

import pytest
import typer

from hemline_api.resources import ClassifierSpec
from hemline_api.rollout import Rollout
from hemline_inference._cli import app as inference
from hemline_operator.plan import Key, Owner, Platform, desired
from hemline_operator.plan._job import job
from hemline_samples._app import app as samples
from hemline_trainer._app import app as trainer

KEY = Key("shop", "mnist")
OWNER = Owner("hemline.dev/v1alpha1", "FineTune", "now", "uid-1")
SPEC = ClassifierSpec.model_validate(
    {
        "broker": {"type": "Kafka", "address": "kafka:9092"},
        "samples": {"upkeep": {"expireUnlabelledHours": 720}},
    }
)
COMMANDS = {
    "hemline-inference": inference,
    "hemline-samples": samples,
    "hemline-trainer": trainer,
}


def containers() -> list[dict[str, Any]]:
    platform = Platform()
    objects = desired(KEY, OWNER, SPEC, Rollout(revision=1, stable=1), platform)
    objects.append(
        job(KEY, OWNER, SPEC, SPEC.trainer, SPEC.fine_tune.gate, platform, base_version=1)
    )
    parts = [one.get("spec", {}) for one in objects]
    parts += [one["jobTemplate"]["spec"] for one in parts if "jobTemplate" in one]
    pods = [one["template"]["spec"] for one in parts if "template" in one]
    return [
        one
        for pod in pods
        for part in ("initContainers", "containers")
        for one in pod.get(part, ())
    ]


@pytest.mark.parametrize("container", containers(), ids=lambda one: one["name"])
def test_the_command_is_understood(container: dict[str, Any]) -> None:
    program, *arguments = container["command"]
    command = typer.main.get_command(COMMANDS[program])
    if subcommands := getattr(command, "commands", None):
        command, arguments = subcommands[arguments[0]], arguments[1:]
    with command.make_context(program, arguments):
        pass  # an option that it does not know, or a value that it refuses, raises
