"""The commands that the operator puts into pods are commands that the services take. Needs no cluster."""

import importlib
from typing import Any

import pytest
import typer.main

from hemline_api.resources import ClassifierSpec, GatePolicy, TrainerSpec
from hemline_api.rollout import Rollout
from hemline_operator.plan import Key, Owner, Platform, desired
from hemline_operator.plan._job import job

KEY = Key("shop", "mnist")
OWNER = Owner("hemline.dev/v1alpha1", "ImageClassifier", "mnist", "u-1")
APPS = {
    "hemline-inference": "hemline_inference._cli",
    "hemline-samples": "hemline_samples._app",
    "hemline-trainer": "hemline_trainer._app",
}


def commands() -> list[list[str]]:
    spec = ClassifierSpec.model_validate({"broker": {"type": "Kafka", "address": "kafka:9092"}})
    platform = Platform()
    run = job(KEY, OWNER, spec, TrainerSpec(), GatePolicy(), platform, base_version=1)
    pods = [
        child["spec"]["template"]["spec"]
        for child in (*desired(KEY, OWNER, spec, Rollout(revision=1, stable=1), platform), run)
        if child["kind"] in ("Deployment", "Job")
    ]
    return [
        container["command"]
        for pod in pods
        for container in (*pod.get("initContainers", ()), *pod["containers"])
    ]


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command[:2]))
def test_a_service_takes_what_the_operator_gives(command: list[str]) -> None:
    program, *arguments = command
    parser: Any = typer.main.get_command(importlib.import_module(APPS[program]).app)
    if hasattr(parser, "commands"):
        name, *arguments = arguments
        parser = parser.commands[name]
    parser.make_context(program, arguments)


def test_every_component_is_among_them() -> None:
    assert sorted(" ".join(command[:2]).split(" --")[0] for command in commands()) == [
        "hemline-inference",
        "hemline-samples collect",
        "hemline-samples init",
        "hemline-samples serve",
        "hemline-trainer",
    ]
