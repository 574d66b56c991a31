"""compose.yaml: valid, its commands understood, and what it describes at work."""

import importlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import typer.main
import yaml
from cluster_kit import ROOT, Images, Node, NodeKafka, cache, version
from compose_kit import Composed

COMPOSE = ROOT / "compose.yaml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
APPS = {
    "inference": "hemline_inference._cli",
    "samples": "hemline_samples._app",
    "client-sim": "hemline_client_sim._app",
    "trainer": "hemline_trainer._app",
}
# The reference implementation of the Compose specification, which `docker compose` itself is built on.
VALIDATOR = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"


def image_of(service: dict[str, Any]) -> str:
    """inference of hemline/inference:VERSION."""
    return str(service["image"]).split("/")[1].split(":")[0]


OURS = [name for name, one in SERVICES.items() if one["image"].startswith("hemline/")]
COMMANDS = [name for name in OURS if SERVICES[name].get("entrypoint") != []]


def test_compose_names_the_version_of_the_packages() -> None:
    assert set(re.findall(r"HEMLINE_VERSION:-([^}]+)", COMPOSE.read_text())) == {version()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_service_takes_what_compose_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES[name]
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value)
    arguments = list(service.get("command", []))
    parser: Any = typer.main.get_command(importlib.import_module(APPS[image_of(service)]).app)
    if hasattr(parser, "commands"):
        parser = parser.commands[arguments.pop(0)]
    context = parser.make_context(name, arguments)
    known = {variable for option in parser.params for variable in [option.envvar] if variable}
    # What a service does not know it would ignore in silence; a few settings are shared by all of them.
    shared = {"HEMLINE_BROKER", "HEMLINE_CLASSIFIER", "HEMLINE_LAKE", "HEMLINE_HTTP"}
    assert set(service["environment"]) - shared <= known
    assert context.params


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compose_follows_its_specification() -> None:
    validator = cache() / "bin" / "compose-validator"
    if not validator.exists():
        if not shutil.which("go"):
            reason = "no Go to build the validator of compose files with"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        folder = validator.parent / "compose-validator.new"
        environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
        subprocess.run(["go", "install", VALIDATOR], env=environment, check=True, cwd="/")
        (folder / "cmd").replace(validator)
    done = subprocess.run(
        [validator, COMPOSE], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def until(true: Callable[[], bool], *, seconds: float, what: Callable[[], str]) -> None:
    """Wait for a condition. A service that cannot be asked yet has not met it."""

    def met() -> bool:
        with suppress(RuntimeError):
            return true()
        return False

    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        time.sleep(1)


@pytest.mark.cluster
@pytest.mark.timeout(1500, func_only=True)
def test_what_compose_describes_works(
    node: Node, images: Images, node_kafka: NodeKafka, node_namespace: str
) -> None:
    composed = Composed(node, node_namespace, images, node_kafka)
    composed.up()

    passed = composed.ended("stream-client")
    assert re.match(r"\d+ samples, \d+ bytes", passed), passed
    assert int(passed.split()[0]) > 1000

    def labels_came() -> bool:
        books = composed.asked("simulator")
        return books["labels"] >= 260  # enough of them are held out to judge by

    until(labels_came, seconds=300, what=lambda: composed.logs("simulator")[-3000:])

    composed.start("trainer", "--steps", "20", "--batch-size", "32", "--min-fresh", "8")
    composed.ended("trainer", seconds=600)

    by_hand = ("python", "/examples/set_rollout.py", "/rollout/rollout.json", "2")
    composed.start("rollout", command=by_hand)
    assert '"stable":2' in composed.ended("rollout")
    until(
        lambda: composed.asked("inference")["serving"] == [2],
        seconds=120,
        what=lambda: composed.logs("inference")[-3000:],
    )
    before = composed.asked("simulator")["answered"]
    until(
        lambda: composed.asked("simulator")["answered"] >= before + 8,
        seconds=120,
        what=lambda: composed.logs("simulator")[-3000:],
    )
    books = composed.asked("simulator")
    assert {tally["version"] for tally in books["tallies"]} == {1, 2}
    assert set(composed.restarts().values()) == {0}
