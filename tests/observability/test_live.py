"""Dashboards and rules over what a real Prometheus scraped from a real run, a fine-tune included.

The run is `hemline up` with its services, the simulator and the real trainer. The operator's part is what it exported
against a real API server (tests/cluster/apiserver/test_metrics.py keeps that record true).
"""

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hemline_api.metrics import FINE_TUNE_ENDS, TABLE
from hemline_api.topics import Topics
from hemline_operator import kube

from .prometheus import Prometheus
from .queries import (
    RULES,
    Asked,
    annotations,
    filled,
    names,
    panels,
    rules,
    selectors,
    variables,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = 170.0
CLASSIFIER = "mnist"
PANELS = panels()
SPECIES = {series: metric for metric in TABLE for series in metric.series}


@dataclass(frozen=True)
class Run:
    """A run that is over but for its Prometheus."""

    prometheus: Prometheus
    began: float
    classes: frozenset[str]

    def samples(self, expr: str) -> list[list[tuple[float, str]]]:
        asked = filled(expr, namespace="local", classifier=CLASSIFIER)
        return self.prometheus.since(asked, self.began)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module run with Python, told to end at the end."""
    environment = {name: value for name, value in os.environ.items() if name != "HEMLINE_STATE"}
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()


@contextmanager
def played(record: Path) -> Iterator[int]:
    """A port where ``/metrics`` is a record played back, one exposition at each request, the last one for ever."""
    scenes = record.read_text(encoding="utf-8").split("\n\n")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scene = scenes.pop(0) if len(scenes) > 1 else scenes[0]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(scene.strip().encode() + b"\n")

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait(condition: Callable[[], object], what: str, *logs: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- {log}\n{log.read_text()[-1500:]}" for log in logs)
            pytest.fail(f"no {what} in {PATIENCE:.0f} s\n{tails}")
        time.sleep(0.2)


def events(state: Path) -> str:
    path = state / "events.jsonl"
    return path.read_text() if path.exists() else ""


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def pin(state: Path, version: int) -> None:
    command = [sys.executable, "-m", "hemline", "pin", str(version), "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr + events(state)


@pytest.fixture(scope="module")
def run(prometheus_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A stream with a fine-tune, a swap, and one broken image in twenty; it goes on while the tests look."""
    folder = tmp_path_factory.mktemp("live")
    state, up_log, sim_log = folder / "state", folder / "up.log", folder / "sim.log"
    record = Path(__file__).parent / "operator.metrics"
    sim = f"127.0.0.1:{free_port()}"
    began = time.time()
    up = ["hemline", "up", "--state", str(state), "--data", "none"]
    up += ["--every", "200", "--steps", "60", "--batch-size", "32", "--nice", "0"]
    simulator = ["hemline_client_sim", "--broker", f"sqlite:///{state / 'broker.db'}"]
    simulator += ["--rate", "20", "--label-delay", "1", "--corrupt", "0.05", "--http", sim]
    simulator += ["--books", str(folder / "books.json"), "--drain", "1"]

    def target(address: str, component: str) -> dict[str, object]:
        labels = {"namespace": "local", "classifier": CLASSIFIER, "component": component}
        return {"targets": [address], "labels": {**labels, "pod": component}}

    with played(record) as operator:
        scrape = [
            {
                "job_name": "hemline",
                "honor_labels": True,
                "file_sd_configs": [
                    {"files": [f"{state}/prometheus.json"], "refresh_interval": "1s"}
                ],
                "static_configs": [target(sim, "client-sim")],
            },
            {
                "job_name": "operator",
                "honor_labels": True,
                "static_configs": [{"targets": [f"127.0.0.1:{operator}"]}],
            },
        ]
        with (
            Prometheus(
                prometheus_tools, folder / "prometheus", free_port(), scrape, RULES
            ) as server,
            process(up_log, *up),
        ):
            wait(lambda: '"kind":"Ready"' in events(state).replace(": ", ":"), "start", up_log)
            with process(sim_log, *simulator):
                wait(lambda: answers(sim), "simulator", sim_log)
                wait(lambda: "FineTuneStarted" in events(state), "fine-tune", up_log, sim_log)
                wait(lambda: "FineTuneEnded" in events(state), "verdict", up_log, sim_log)
                # Whatever the gate said: the new version serves, so that there is a swap to see.
                pin(state, 2)
                wait(lambda: "Pinned" in events(state), "swap", up_log)
                made = Run(server, began, frozenset())
                missing: list[str] = []

                def complete() -> bool:
                    missing[:] = [one.where for one in PANELS if not made.samples(one.expr)]
                    return not missing

                deadline = time.monotonic() + 40
                while not complete() and time.monotonic() < deadline:
                    time.sleep(1)
                classes = {
                    one["label"] for one in server.series("hemline_inference_predictions_total")
                }
                yield Run(server, began, frozenset(classes))


@pytest.mark.parametrize("asked", PANELS, ids=lambda asked: asked.where)
def test_every_panel_shows_something(run: Run, asked: Asked) -> None:
    assert run.samples(asked.expr)


@pytest.mark.parametrize("asked", annotations(), ids=lambda asked: asked.where)
def test_every_annotation_looks_at_something(run: Run, asked: Asked) -> None:
    for selector in selectors(asked.expr):
        assert run.samples(selector), selector


def test_fine_tunes_are_marked(run: Run) -> None:
    marks = {one.where: run.samples(one.expr) for one in annotations()}
    assert marks["quality: Fine-tunes begun"]
    assert marks["quality: Fine-tunes that improved"] or marks["quality: Fine-tunes that did not"]


@pytest.mark.parametrize("asked", variables(), ids=lambda asked: asked.where)
def test_the_variables_offer_this_classifier(run: Run, asked: Asked) -> None:
    found = run.prometheus.series(filled(asked.expr, namespace="local"))
    assert {(one["namespace"], one["classifier"]) for one in found} == {("local", CLASSIFIER)}


@pytest.mark.parametrize("asked", [asked for _, asked in rules()], ids=lambda asked: asked.where)
def test_every_rule_looks_at_something(run: Run, asked: Asked) -> None:
    for selector in selectors(asked.expr):
        assert run.samples(selector), selector


def test_every_recording_rule_records(run: Run) -> None:
    recorded = {rule["record"] for rule, _ in rules() if "record" in rule}
    wait(lambda: all(run.samples(name) for name in recorded), f"series of {recorded}")


def test_no_rule_fails(run: Run) -> None:
    groups = run.prometheus.ask("rules")["groups"]
    assert {rule["name"] for group in groups for rule in group["rules"]} == {
        rule.get("alert") or rule["record"] for rule, _ in rules()
    }
    assert not [
        (rule["name"], rule["lastError"])
        for group in groups
        for rule in group["rules"]
        if rule["health"] == "err"
    ]


def exported(run: Run) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for one in run.prometheus.series('{__name__=~"hemline_.+"}'):
        found.setdefault(one["__name__"], []).append(one)
    return found


def test_every_exported_metric_is_declared_and_every_declared_one_exported(run: Run) -> None:
    assert set(exported(run)) == set(SPECIES)


def test_every_exported_metric_is_looked_at(run: Run) -> None:
    looked_at = {
        SPECIES[name].name
        for asked in [*PANELS, *annotations(), *(asked for _, asked in rules())]
        for name in names(asked.expr)
        if name in SPECIES
    }
    assert {SPECIES[name].name for name in exported(run)} <= looked_at


def test_labels_are_bounded_and_never_an_id(run: Run) -> None:
    """Design: class, version, topic, reason; never an id."""
    topics = set(Topics(CLASSIFIER, "").all())
    kinds = {
        "CronJob", "ConfigMap", "Deployment", "Event", "FineTune", "ImageClassifier", "Job",
        "PersistentVolumeClaim", "Pod", "Service", "ServiceAccount",
    }  # fmt: skip
    refusals = {error.__name__ for error in (kube.KubeError, *kube.KubeError.__subclasses__())}
    domains: dict[str, Callable[[str], object]] = {
        "classifier": {CLASSIFIER}.__contains__,
        "component": re.compile(r"[a-z-]+").fullmatch,
        "group": {"inference", "collect"}.__contains__,
        "instance": re.compile(r"127\.0\.0\.1:\d+").fullmatch,
        "job": {"hemline", "operator"}.__contains__,
        "kind": kinds.__contains__,
        "label": run.classes.__contains__,
        "namespace": {"local", "shop"}.__contains__,
        "origin": {"stream", "import"}.__contains__,
        "outcome": ({"ok", "error", "conflict"} | refusals).__contains__,
        "pod": re.compile(r"[a-z-]+").fullmatch,
        "process": {"inference", "collect", "serve"}.__contains__,
        "reason": re.compile(r"[a-z_-]{1,20}").fullmatch,
        "role": {"stable", "canary"}.__contains__,
        "service": {"mnist", "samples"}.__contains__,
        "table": {"images", "labels", "predictions"}.__contains__,
        "topic": topics.__contains__,
        "verdict": set(FINE_TUNE_ENDS).__contains__,
        "version": re.compile(r"\d{1,6}").fullmatch,
    }
    own = {"classifier", "component", "instance", "job", "namespace", "pod"}
    for name, series in exported(run).items():
        metric = SPECIES[name]
        for one in series:
            labels = one.keys() - {"__name__", "le"}
            assert labels <= own | set(metric.labels), one
            assert set(metric.labels) <= labels, one
            for label in labels:
                assert domains[label](one[label]), one
    assert len(run.classes) == 10
