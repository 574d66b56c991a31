"""A Kubernetes API server as tests see it: plain calls, and waits for conditions."""

import base64
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from hemline_operator.kube import Kind

__all__ = ["Cluster", "message"]

Object = dict[str, Any]
T = TypeVar("T")

_MERGE = {"Content-Type": "application/merge-patch+json"}


class Cluster:
    """Calls with the rights of a kubeconfig's current user.

    Args:
        kubeconfig: the file; of users, only a token or a client certificate is read (the kit's and kind's have them).
        folder: where the API server's logs and process id are, when the tests started it.
    """

    def __init__(self, kubeconfig: Path, folder: Path | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder
        shown = subprocess.run(
            ["kubectl", "config", "view", "--minify", "--raw", "--flatten", "-o", "yaml"],
            env={"KUBECONFIG": str(kubeconfig), "PATH": os.environ["PATH"]},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        config = yaml.safe_load(shown)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        authority = _decoded(cluster["certificate-authority-data"])
        self.context = ssl.create_default_context(cadata=authority)
        self.context_without_user = ssl.create_default_context(cadata=authority)
        """Trusts the server, and does not say who asks: for requests in another's name."""
        if "client-certificate-data" in user:
            pair = kubeconfig.parent / "client.pem"
            pair.write_text(
                _decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"])
            )
            self.context.load_cert_chain(pair)
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.http = httpx.Client(
            base_url=self.server, verify=self.context, headers=headers, timeout=30.0
        )

    def close(self) -> None:
        """End the session."""
        self.http.close()

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """One object, or None."""
        answer = self.http.get(kind.path(namespace, name))
        return None if answer.status_code == 404 else _checked(answer)

    def list(self, kind: Kind, namespace: str | None, selector: str = "") -> list[Object]:
        """Objects of a namespace, or of all."""
        parameters = {"labelSelector": selector} if selector else {}
        items: list[Object] = _checked(self.http.get(kind.path(namespace), params=parameters))[
            "items"
        ]
        return items

    def create(self, kind: Kind, namespace: str | None, manifest: Mapping[str, Any]) -> Object:
        """Make an object; raises httpx.HTTPStatusError with the server's message."""
        body = {"apiVersion": kind.api_version, "kind": kind.name, **manifest}
        return _checked(self.http.post(kind.path(namespace), json=body))

    def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        changes: Mapping[str, Any],
        part: str = "",
    ) -> Object:
        """Merge changes into an object, or into a part of it (``/status``, ``/scale``)."""
        path = kind.path(namespace, name) + part
        return _checked(self.http.patch(path, json=changes, headers=_MERGE))

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object, and in the background what it owns."""
        answer = self.http.request(
            "DELETE", kind.path(namespace, name), json={"propagationPolicy": "Background"}
        )
        if answer.status_code != 404:
            _checked(answer)

    def wait(self, what: str, look: Callable[[], T | None], *, seconds: float = 90.0) -> T:
        """Look until there is something true; fails with ``what`` after a generous time."""
        deadline = time.monotonic() + seconds
        seen: T | None = None
        while time.monotonic() < deadline:
            try:
                seen = look()
            except httpx.TransportError:
                seen = None  # the API server is being started again
            if seen:
                return seen
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds:.0f} s for {what}; saw {seen!r}")


def message(error: httpx.HTTPStatusError) -> str:
    """What the API server said."""
    return str(error.response.json().get("message", ""))


def _checked(answer: httpx.Response) -> Object:
    if answer.is_error:
        raise httpx.HTTPStatusError(
            f"{answer.request.method} {answer.request.url}: {answer.text[:2000]}",
            request=answer.request,
            response=answer,
        )
    body: Object = answer.json()
    return body


def _decoded(data: str) -> str:
    return base64.b64decode(data).decode()
