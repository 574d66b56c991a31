"""TLS and SASL against a real broker that demands them; and no secret anywhere but in the client."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hemline_broker import Denied, Message, Unavailable, connect
from hemline_broker.testing import Harness

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
_KAFKA_SH = Path(__file__).parents[3] / "tests" / "servers" / "kafka" / "kafka.sh"
_PASSWORD = "a-secret-word"

_PROPERTIES = """
listeners=HOST://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}
advertised.listeners=HOST://127.0.0.1:{port},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=HOST:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_alice="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config={security}.oauthbearer.OAuthBearerLoginModule required \
  unsecuredLoginStringClaim_sub="broker";
"""


@dataclass(frozen=True)
class Secured:
    """A broker with a listener for each way of proving who one is."""

    sasl: str
    mutual: str
    folder: Path


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _certificates(folder: Path) -> None:
    """An authority, a server's certificate for 127.0.0.1, a client's with an encrypted key, a foreign authority."""
    for name in ("ca", "foreign"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        _openssl(
            folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", f"{name}.crt",
        )  # fmt: skip
    both = (folder / "server.key").read_text() + (folder / "server.crt").read_text()
    (folder / "server.pem").write_text(both)
    _openssl(
        folder, "pkcs8", "-topk8", "-v2", "aes256", "-in", "client.key", "-out", "client.enc",
        "-passout", f"pass:{_PASSWORD}",
    )  # fmt: skip


def _ports(count: int) -> int:
    """The first of so many neighbouring free ports."""
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        held = [socket.socket() for _ in range(count)]
        try:
            for place, each in enumerate(held):
                each.bind(("127.0.0.1", first + place))
        except (OSError, OverflowError):
            continue
        else:
            return first
        finally:
            for each in held:
                each.close()
    raise RuntimeError(f"no {count} neighbouring ports are free")


@pytest.fixture(scope="module")
def secured(kafka_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    # `kafka_url` is asked for what it checks: that a broker can be started here at all.
    if shutil.which("openssl") is None:
        pytest.fail("openssl is not installed (tests/servers/install.sh installs it)")
    folder = tmp_path_factory.mktemp("secured")
    _certificates(folder)
    port = _ports(4)
    sasl, mutual = port + 2, port + 3
    (folder / "properties").write_text(
        _PROPERTIES.format(
            port=port, controller=port + 1, sasl=sasl, mutual=mutual, folder=folder, password=_PASSWORD,
            security="org.apache.kafka.common.security",
        )
    )  # fmt: skip
    script = [str(_KAFKA_SH), "up", "--port", str(port), "--properties", str(folder / "properties")]
    subprocess.run([*script, "--scram", f"alice={_PASSWORD}"], check=True, timeout=300)
    try:
        yield Secured(f"kafka://127.0.0.1:{sasl}", f"kafka://127.0.0.1:{mutual}", folder)
    finally:
        subprocess.run([str(_KAFKA_SH), "down", "--port", str(port)], check=False, timeout=120)


@pytest.fixture
def alice(monkeypatch: pytest.MonkeyPatch, secured: Secured) -> pytest.MonkeyPatch:
    """Her name, her password and the authority, in the environment."""
    monkeypatch.setenv("HEMLINE_KAFKA_USERNAME", "alice")
    monkeypatch.setenv("HEMLINE_KAFKA_PASSWORD", _PASSWORD)
    monkeypatch.setenv("HEMLINE_KAFKA_CA_FILE", str(secured.folder / "ca.pem"))
    return monkeypatch


async def _there_and_back(url: str) -> None:
    """Everything that opens a connection of its own: administration, both producers, offsets, a consumer."""
    harness = Harness(url, patience=90.0)
    async with harness.topic("group") as (broker, topic):
        assert _PASSWORD not in repr(broker)
        assert _PASSWORD not in repr(vars(broker._driver))
        await broker.send(topic, Message(b"one"))
        await broker.send_many(topic, [Message(b"%d" % n) for n in range(30)])
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 31)
            for delivery in taken:
                delivery.ack()
            await subscription.settled()
            assert await subscription.lag() == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl_over_tls(
    secured: Secured, alice: pytest.MonkeyPatch, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice.setenv("HEMLINE_KAFKA_SASL_MECHANISM", mechanism)
    await _there_and_back(secured.sasl)
    assert _PASSWORD not in caplog.text


async def test_oauthbearer(secured: Secured, alice: pytest.MonkeyPatch) -> None:
    """The client asks the token endpoint with its id and secret, and shows the broker what it got."""
    with _token_endpoint() as (url, requests):
        alice.setenv("HEMLINE_KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        alice.setenv("HEMLINE_KAFKA_OAUTH_TOKEN_URL", url)
        await _there_and_back(secured.sasl)
        assert requests
        expected = base64.b64encode(f"alice:{_PASSWORD}".encode()).decode()
        assert set(requests) == {f"Basic {expected}"}


class _TokenEndpoint:
    """An OpenID token endpoint: a context manager that gives its URL and the credentials that came."""

    def __enter__(self) -> tuple[str, list[str]]:
        requests: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                requests.append(self.headers["Authorization"])
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps({"access_token": _token(), "expires_in": 3600}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/token", requests

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


_token_endpoint = _TokenEndpoint


def _token() -> str:
    """A token without a signature, which the broker's default validator takes: it is about the way, not the trust."""
    now = int(time.time())
    parts = [{"alg": "none"}, {"sub": "alice", "iat": now, "exp": now + 3600}]
    encoded = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
    ]
    return ".".join((*encoded, ""))


async def test_certificate_of_the_client(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HEMLINE_KAFKA_CA_FILE", str(secured.folder / "ca.pem"))
    monkeypatch.setenv("HEMLINE_KAFKA_CERT_FILE", str(secured.folder / "client.crt"))
    monkeypatch.setenv("HEMLINE_KAFKA_KEY_FILE", str(secured.folder / "client.enc"))
    monkeypatch.setenv("HEMLINE_KAFKA_KEY_PASSWORD", _PASSWORD)
    await _there_and_back(secured.mutual)
    assert _PASSWORD not in caplog.text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_wrong_password(
    secured: Secured, alice: pytest.MonkeyPatch, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C12: Denied, in bounded time, and the word that was wrong is repeated nowhere."""
    caplog.set_level(logging.DEBUG)
    alice.setenv("HEMLINE_KAFKA_SASL_MECHANISM", mechanism)
    alice.setenv("HEMLINE_KAFKA_PASSWORD", "not-the-word")
    with pytest.raises(Denied) as caught:
        await _there_and_back(secured.sasl)
    assert "not-the-word" not in str(caught.value) + repr(caught.value.__cause__) + caplog.text


async def test_foreign_authority(secured: Secured, alice: pytest.MonkeyPatch) -> None:
    """A broker whose certificate another authority signed is not spoken to."""
    alice.setenv("HEMLINE_KAFKA_SASL_MECHANISM", "PLAIN")
    alice.setenv("HEMLINE_KAFKA_CA_FILE", str(secured.folder / "foreign.pem"))
    with pytest.raises((Denied, Unavailable)) as caught:
        async with connect(secured.sasl):
            pass
    assert _PASSWORD not in str(caught.value)


async def test_no_certificate(secured: Secured, alice: pytest.MonkeyPatch) -> None:
    """A listener that wants a client's certificate lets nobody in without one."""
    with pytest.raises((Denied, Unavailable)):
        async with connect(f"{secured.mutual}?security=ssl"):
            pass
