import asyncio
import json
import logging
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
import typer

from hemline_api.metrics import INFERENCE_BATCH, INFERENCE_PREDICTIONS, INFERENCE_REVISION
from hemline_runtime import (
    Failure,
    HttpEndpoint,
    LogFormat,
    Metrics,
    UsageFailure,
    configure_logging,
    main,
    stop_event,
)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_every_process_answers_metrics_health_and_status() -> None:
    metrics = Metrics()
    metrics.counter(INFERENCE_PREDICTIONS).labels("1", "Sandal").inc(3)
    metrics.gauge(INFERENCE_REVISION).set(7)
    metrics.histogram(INFERENCE_BATCH).observe(5)
    problem: str | None = None
    with HttpEndpoint(
        "127.0.0.1:0",
        registry=metrics.registry,
        status=lambda: {"revision": 7},
        healthy=lambda: problem,
    ) as endpoint:
        code, text = get(endpoint.port, "/metrics")
        assert code == 200
        assert 'hemline_inference_predictions_total{label="Sandal",version="1"} 3.0' in text
        assert "hemline_inference_revision_number 7.0" in text
        assert "process_resident_memory_bytes" in text
        assert "_created" not in text
        assert get(endpoint.port, "/healthz") == (200, "ok\n")
        problem = "no model yet"
        assert get(endpoint.port, "/healthz") == (503, "no model yet\n")
        assert json.loads(get(endpoint.port, "/status")[1]) == {"revision": 7}
        assert get(endpoint.port, "/etc/passwd")[0] == 404


@pytest.mark.parametrize(
    "address", ["9000", "127.0.0.1:x", "127.0.0.1:99999", "nowhere.invalid:80"]
)
def test_a_bad_address_is_one_line(address: str) -> None:
    with pytest.raises(UsageFailure, match="--http"):
        HttpEndpoint(address, registry=Metrics().registry, status=dict, healthy=lambda: None)


def test_a_metric_is_used_as_the_kind_it_is_declared() -> None:
    with pytest.raises(ValueError, match="declared as a gauge"):
        Metrics().counter(INFERENCE_REVISION)


@pytest.mark.parametrize(
    ("raised", "expected", "code"),
    [
        (Failure("two\nlines"), (), 1),
        (UsageFailure("bad option"), (), 2),
        (KeyError("k"), (KeyError,), 1),
        (Failure("later", exit_code=75), (), 75),
    ],
)
def test_what_a_user_did_wrong_is_one_line_and_a_code(
    raised: Exception,
    expected: tuple[type[Exception], ...],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = typer.Typer()

    @app.command()
    def run() -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        main(app, expected=expected, args=[])
    assert ended.value.code == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_defect_keeps_its_traceback() -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def run() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        main(app, args=[])


@pytest.fixture
def restore_logging() -> Callable[[], None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("restore_logging")
def test_json_logs_carry_extra_fields_and_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", LogFormat.JSON)
    logging.getLogger("test").info("swapped\nnow", extra={"version": 3})
    entry = json.loads(capsys.readouterr().err)
    assert entry["version"] == 3
    assert entry["message"] == "swapped\nnow"
    assert entry["level"] == "info"


async def test_the_first_sigterm_becomes_an_event() -> None:
    async with stop_event() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), timeout=30)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
