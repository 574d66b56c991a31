"""A claim check in Google Cloud Storage, as far as it can be had without Google: the requests of its XML protocol.

The server is a stand-in of a few lines: this shows that we ask for the right things, not that Google answers like it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from hemline_broker import BodyGone, Denied, Message, Unavailable
from hemline_broker._claimstore import ClaimStore, Reference
from hemline_broker.claims import expired, sweep
from hemline_broker.testing import Harness

_BUCKET = "/bodies/"
_STORED = datetime(2026, 1, 1, tzinfo=UTC)


class Bucket(ThreadingHTTPServer):
    """One bucket, `bodies`.

    Attributes:
        objects: path → bytes.
        refuses: answer 403 to everything.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.objects: dict[str, bytes] = {}
        self.refuses = False


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        objects = self.server.objects
        if self.server.refuses:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif not (path + "/").startswith(_BUCKET):
            self._answer(
                404, b"<Error><Message>The specified bucket does not exist</Message></Error>"
            )
        elif "list-type" in parse_qs(parts.query):
            (prefix,) = parse_qs(parts.query)["prefix"]
            found = ((p, b) for p, b in sorted(objects.items()) if p.startswith(prefix))
            entries = "".join(
                f'<Contents><Key>{escape(p)}</Key><Size>{len(b)}</Size><ETag>"e"</ETag>'
                f"<LastModified>{_STORED:%Y-%m-%dT%H:%M:%SZ}</LastModified></Contents>"
                for p, b in found
            )
            self._answer(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode())
        elif self.command == "PUT":
            objects[path.removeprefix(_BUCKET)] = body
            self._answer(200)
        elif (name := path.removeprefix(_BUCKET)) not in objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.command == "DELETE":
            del objects[name]
            self._answer(204)
        else:
            self._answer(200, objects[name])

    do_GET = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (
            ("ETag", '"e"'),
            ("x-goog-generation", "1"),
            ("Last-Modified", format_datetime(_STORED, usegmt=True)),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Bucket() as server:
        account = {
            "gcs_base_url": f"http://127.0.0.1:{server.server_port}", "disable_oauth": True,
            "client_email": "", "private_key": "", "private_key_id": "",
        }  # fmt: skip
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_bodies_in_google_cloud_storage(bucket: Bucket, tmp_path: Path) -> None:
    """Stored below the prefix, read back whole, counted and swept."""
    place = "gs://bodies/claims"
    harness = Harness(f"sqlite:///{tmp_path}/broker.db?claim_check={place}&claim_above=10000")
    bucket.objects["elsewhere"] = b"somebody else's"
    async with harness.topic("group") as (broker, topic):
        message = Message(os.urandom(3_000_000), key="large")
        await broker.send_many(topic, [message, Message(b"small")])
        (path,) = bucket.objects.keys() - {"elsewhere"}
        assert path.startswith(f"claims/{topic}/")
        assert bucket.objects[path] == message.data
        async with broker.subscribe(topic, group="group") as subscription:
            first, second = await harness.take(subscription, 2)
            assert (first.message, second.message.data) == (message, b"small")
        assert await expired(place, timedelta(days=1)) == (1, 3_000_000)
        assert await sweep(place, timedelta(days=1)) == (1, 3_000_000)
    assert list(bucket.objects) == ["elsewhere"]


async def test_what_google_cloud_storage_refuses(bucket: Bucket) -> None:
    """A body that is gone, a bucket that is not there and a right that is missing are told apart."""
    gone = Reference(f"gs://bodies/claims/topic/2026-01-01/{'0' * 32}", "0" * 64, 1)
    with pytest.raises(BodyGone, match="was deleted"):
        await ClaimStore("gs://bodies/claims").get(gone)
    missing = Reference(f"gs://nowhere/claims/topic/2026-01-01/{'0' * 32}", "0" * 64, 1)
    with pytest.raises(Unavailable, match="does not exist"):
        await ClaimStore("gs://nowhere/claims").get(missing)
    with pytest.raises(Unavailable, match="cannot store a body in gs://nowhere/claims"):
        await ClaimStore("gs://nowhere/claims").put("topic", b"x")
    bucket.refuses = True
    with pytest.raises(Denied, match="cannot store a body in gs://bodies/claims"):
        await ClaimStore("gs://bodies/claims").put("topic", b"x")
