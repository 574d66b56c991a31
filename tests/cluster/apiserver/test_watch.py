"""A watch that brings nothing although its connection is alive is noticed."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from hemline_operator.kube import DEPLOYMENT, FINE_TUNE
from hemline_operator.testing.cluster import Cluster, RunningOperator, Stage, WriteProxy

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]


class DeafProxy(WriteProxy):
    """Once told, it passes nothing on in watches of FineTunes but bookmarks: the connection stays alive."""

    deaf = False

    async def _chunk(self, request: web.Request, chunk: bytes) -> bytes:
        if not self.deaf or "finetunes" not in request.path or "watch" not in request.query_string:
            return chunk
        lines = [line for line in chunk.split(b"\n") if line]
        kept = [line for line in lines if _is_bookmark(line)]
        return b"".join(line + b"\n" for line in kept)


def _is_bookmark(line: bytes) -> bool:
    try:
        return bool(json.loads(line)["type"] == "BOOKMARK")
    except ValueError:
        return False


def test_a_dead_watch_fails_the_liveness_probe(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    stage = Stage(cluster, namespace)
    with DeafProxy(cluster.server, cluster.context, lambda _: None) as proxy:
        options = ["--freshness", "1", "--stale", "15"]
        running = RunningOperator(
            cluster, namespace, tmp_path, server=proxy.address, options=options
        )
        with running as operator:
            stage.classifier()
            cluster.wait("the operator to work", lambda: stage.get(DEPLOYMENT, "mnist-serve"))
            cluster.wait("a good word", lambda: operator.ask("/healthz").status_code == 200 or None)
            proxy.deaf = True
            stage.fine_tune()
            cluster.wait(
                "the probe to fail",
                lambda: operator.ask("/healthz").status_code == 503 or None,
                seconds=180,
            )
            assert "FineTune" in operator.ask("/healthz").text
            behind = 'hemline_operator_watch_behind_seconds{kind="FineTune"}'
            assert behind in operator.ask("/metrics").text
        # What the liveness probe leads to: the container is started again.
        proxy.deaf = False
        with running:
            stage.wait_condition(FINE_TUNE, "now", "Succeeded", "SummaryUnknown")
