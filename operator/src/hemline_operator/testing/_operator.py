"""The operator as a process, with no more rights than its role gives."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from hemline_operator.kube import SERVICE_ACCOUNT, Kind
from hemline_operator.manifests import manifests
from hemline_operator.testing._cluster import Cluster

__all__ = ["RunningOperator"]

_NAME: Final = "hemline-operator"
_RBAC: Final = "rbac.authorization.k8s.io"
_KINDS: Final = {
    "Role": Kind(_RBAC, "v1", "Role", "roles"),
    "RoleBinding": Kind(_RBAC, "v1", "RoleBinding", "rolebindings"),
    "ClusterRole": Kind(_RBAC, "v1", "ClusterRole", "clusterroles"),
    "ClusterRoleBinding": Kind(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings"),
    "ServiceAccount": SERVICE_ACCOUNT,
}


class RunningOperator:
    """``hemline-operator`` under its own service account, started and killed at will.

    Args:
        cluster: where, with every right.
        namespace: where its account is, and unless ``cluster_wide`` what it looks after.
        folder: for its kubeconfig and log.
        server: the API server's address as the operator sees it; a plain HTTP one for a proxy.
        cluster_wide: look after every namespace.
        options: more options of its command line.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        folder: Path,
        *,
        server: str | None = None,
        cluster_wide: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._cluster_wide = cluster_wide
        self._options = options
        self._kubeconfig = folder / "operator.kubeconfig"
        self.log = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.http = ""
        self._grant()
        self._write_kubeconfig(server)

    def __enter__(self) -> Self:
        self._grant()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        self._revoke()

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError("the operator is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it is not waited for."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.http = f"127.0.0.1:{free.getsockname()[1]}"
        scope = [] if self._cluster_wide else ["--namespace", self._namespace]
        command = [
            *(sys.executable, "-m", "hemline_operator", *scope),
            *("--http", self.http, "--poll", "0.5", "--log-format", "text"),
            *self._options,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; its exit status."""
        if self._process is None:
            raise RuntimeError("the operator is not running")
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def ask(self, path: str) -> httpx.Response:
        """Its own HTTP endpoint."""
        return httpx.get(f"http://{self.http}{path}", timeout=10.0, trust_env=False)

    def _grant(self) -> None:
        for manifest in manifests(self._namespace, cluster_wide=self._cluster_wide):
            if manifest["kind"] not in _KINDS:
                continue
            kind = _KINDS[manifest["kind"]]
            namespace = manifest["metadata"].get("namespace")
            found = self._cluster.get(kind, namespace, _NAME)
            # A binding that is right already stays: without it, for a moment, requests would be denied.
            if found is not None and found.get("subjects") != manifest.get("subjects"):
                self._cluster.delete(kind, namespace, _NAME)
                found = None
            if found is None:
                self._cluster.create(kind, namespace, manifest)

    def _revoke(self) -> None:
        """Take back what does not go with the namespace."""
        for kind in (_KINDS["ClusterRoleBinding"], _KINDS["ClusterRole"]):
            if self._cluster_wide and self._cluster.get(kind, None, _NAME) is not None:
                self._cluster.delete(kind, None, _NAME)

    def _write_kubeconfig(self, server: str | None) -> None:
        path = SERVICE_ACCOUNT.path(self._namespace, _NAME) + "/token"
        request: dict[str, Any] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600 * 6},
        }
        self.token: str = self._cluster.http.post(path, json=request).json()["status"]["token"]
        seen = json.loads(_as_json(self._cluster.kubeconfig))
        cluster = dict(seen["clusters"][0]["cluster"])
        if server is not None:
            cluster = {"server": server}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": _NAME, "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": _NAME}}],
            "current-context": "test",
        }
        self._kubeconfig.write_text(json.dumps(config))
        self._kubeconfig.chmod(0o600)


def _as_json(kubeconfig: Path) -> str:
    return subprocess.run(
        ["kubectl", "config", "view", "--minify", "--raw", "--flatten", "-o", "json"],
        env={"KUBECONFIG": str(kubeconfig), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
