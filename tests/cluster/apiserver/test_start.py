"""The operator's start: what it waits for, what it says, and how it ends."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from hemline_operator.testing.cluster import (
    Cluster,
    PlayedKubelet,
    RunningOperator,
    Stage,
    WriteProxy,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]


class BareProxy(WriteProxy):
    """A cluster without Hemline's definitions, until told."""

    bare = True

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if self.bare and request.path.startswith("/apis/hemline.dev"):
            return web.json_response({"reason": "NotFound"}, status=404)
        return await super()._pass(request)


def answer(operator: RunningOperator, path: str) -> httpx.Response | None:
    try:
        return operator.ask(path)
    except httpx.TransportError:
        return None


def test_it_waits_for_the_definitions_alive_but_not_ready(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, tmp_path: Path
) -> None:
    with BareProxy(cluster.server, cluster.context, lambda _: None) as proxy:
        running = RunningOperator(cluster, stage.namespace, tmp_path, server=proxy.address)
        with running as operator:

            def unready() -> str | None:
                said = answer(operator, "/readyz")
                return said.text if said and said.status_code == 503 else None

            def waits() -> bool | None:
                return "custom resource definitions" in (unready() or "") or None

            cluster.wait("the reason", waits)
            assert operator.ask("/healthz").status_code == 200
            stage.classifier()
            proxy.bare = False
            stage.wait_ready()
            assert operator.ask("/readyz").status_code == 200
            assert operator.terminate() == 0


def test_it_ends_at_once_while_it_waits(cluster: Cluster, stage: Stage, tmp_path: Path) -> None:
    with BareProxy(cluster.server, cluster.context, lambda _: None) as proxy:
        running = RunningOperator(cluster, stage.namespace, tmp_path, server=proxy.address)
        with running as operator:
            cluster.wait("a first word", lambda: answer(operator, "/readyz"))
            assert operator.terminate() == 0


def test_every_line_of_its_log_is_json(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, tmp_path: Path
) -> None:
    options = ["--log-format", "json"]
    with RunningOperator(cluster, stage.namespace, tmp_path, options=options) as operator:
        stage.classifier()
        stage.wait_ready()
        assert operator.terminate() == 0
        lines = [json.loads(line) for line in operator.log.read_text().splitlines()]
    assert any("applied Deployment mnist-inference" in line["message"] for line in lines)
    assert {"info"} <= {line["severity"] for line in lines} <= {"info", "warning"}
    assert all("timestamp" in line for line in lines)


def test_without_a_cluster_it_says_so_in_one_line(tmp_path: Path) -> None:
    import os
    import sys

    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("KUBE")
    } | {"HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "hemline_operator", "--http", "127.0.0.1:0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "error: neither a service account nor a kubeconfig: set KUBECONFIG"
    )
    assert "Traceback" not in ended.stderr
