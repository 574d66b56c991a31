"""What a Kafka URL and the environment may say: everything else is one line that names the option and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hemline_broker import InvalidOption, connect
from hemline_broker.cli import app

_NOWHERE = "kafka://127.0.0.1:1"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A file that is there, and no certificate."""
    path = tmp_path / "some.pem"
    path.write_text("no certificate\n")
    return path


async def _refusal(url: str) -> str:
    with pytest.raises(InvalidOption) as caught:
        async with connect(url):
            pass
    assert not caught.value.retryable
    return str(caught.value)


async def test_a_ca_that_is_not_there() -> None:
    text = await _refusal(f"{_NOWHERE}?ca=/nonexistent/ca.pem")
    assert "option ca (HEMLINE_KAFKA_CA_FILE) '/nonexistent/ca.pem'" in text
    assert "No such file" in text
    assert "PEM" in text


async def test_a_ca_that_is_none(pem: Path) -> None:
    text = await _refusal(f"{_NOWHERE}?ca={pem}")
    assert "option ca (HEMLINE_KAFKA_CA_FILE)" in text


@pytest.mark.parametrize("name", ["CERT_FILE", "KEY_FILE"])
async def test_a_file_of_the_client_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, pem: Path, name: str
) -> None:
    for each in ("CERT_FILE", "KEY_FILE"):
        monkeypatch.setenv(f"HEMLINE_KAFKA_{each}", str(pem))
    monkeypatch.setenv(f"HEMLINE_KAFKA_{name}", "/nonexistent/client.pem")
    text = await _refusal(f"{_NOWHERE}?security=ssl")
    assert f"HEMLINE_KAFKA_{name} '/nonexistent/client.pem': No such file" in text


async def test_a_client_certificate_that_is_none(
    monkeypatch: pytest.MonkeyPatch, pem: Path
) -> None:
    monkeypatch.setenv("HEMLINE_KAFKA_CERT_FILE", str(pem))
    monkeypatch.setenv("HEMLINE_KAFKA_KEY_FILE", str(pem))
    text = await _refusal(f"{_NOWHERE}?security=ssl")
    assert "HEMLINE_KAFKA_CERT_FILE" in text


async def test_a_certificate_without_its_key(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    monkeypatch.setenv("HEMLINE_KAFKA_CERT_FILE", str(pem))
    text = await _refusal(f"{_NOWHERE}?security=ssl")
    assert "without HEMLINE_KAFKA_KEY_FILE" in text


async def test_text_that_is_no_pem(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a key that was put into the wrong variable: no part of it is repeated."""
    monkeypatch.setenv("HEMLINE_KAFKA_CA_PEM", "a-secret-word")
    text = await _refusal(f"{_NOWHERE}?security=ssl")
    assert "HEMLINE_KAFKA_CA_PEM" in text
    assert "a-secret-word" not in text


async def test_a_token_endpoint_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMLINE_KAFKA_USERNAME", "alice")
    monkeypatch.setenv("HEMLINE_KAFKA_PASSWORD", "a-secret-word")
    monkeypatch.setenv("HEMLINE_KAFKA_OAUTH_TOKEN_URL", "nowhere")
    text = await _refusal(f"{_NOWHERE}?sasl=oauthbearer")
    assert "HEMLINE_KAFKA_OAUTH_TOKEN_URL" in text
    assert "a-secret-word" not in text


@pytest.mark.parametrize(
    "option",
    [
        "sasl=kerberos", "security=tls", "compression=rar", "session_ms=0", "max_poll_ms=-1", "linger_ms=nan",
        "transaction_ms=10", "partitions=0",
    ],
)  # fmt: skip
async def test_values_that_no_client_takes(option: str) -> None:
    name = option.partition("=")[0]
    text = await _refusal(f"{_NOWHERE}?{option}")
    assert f"option {name}=" in text
    assert "expected" in text


async def test_a_session_that_outlasts_the_polls() -> None:
    text = await _refusal(f"{_NOWHERE}?session_ms=20000&max_poll_ms=10000")
    assert "session_ms=20000 is more than max_poll_ms=10000" in text


def test_at_the_command_line_it_is_one_line() -> None:
    result = CliRunner().invoke(app, ["topics", f"{_NOWHERE}?ca=/nonexistent/ca.pem"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "/nonexistent/ca.pem" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
