"""A cluster with a real node: the one that KUBECONFIG names, the one that is up already, or one of the kit's own."""

import fcntl
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster_kit._places import KIT, Unavailable, cache

__all__ = ["Node", "any_node"]

_UP_SECONDS: Final = 2400  # a first time builds Kubernetes; it is cut short nowhere else


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster whose pods really run.

    Args:
        kubeconfig: with every right.
        folder: the state of the kit's node (logs/, audit log, containerd.sock); None: somebody else's cluster.
    """

    kubeconfig: Path
    folder: Path | None

    def kubectl(self, *arguments: str | Path, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl; return what it printed. With ``check`` a failure raises, with both outputs in the message."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        if check and done.returncode:
            words = " ".join(str(argument) for argument in arguments)
            raise RuntimeError(
                f"kubectl {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def apply(self, *manifests: dict[str, Any], namespace: str | None = None) -> None:
        """Server-side apply."""
        where = ["--namespace", namespace] if namespace else []
        stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--server-side", *where, "-f", "-", stdin=stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them, as the API gives it."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    def kill(self, daemon: str) -> None:
        """SIGKILL a daemon of the kit's node that is started again by itself: kubelet, kube-apiserver.

        Raises:
            Unavailable: the cluster is not the kit's.
        """
        if self.folder is None:
            raise Unavailable(
                f"{daemon} cannot be killed on a cluster that the tests did not start"
            )
        supervisor = (self.folder / "pid").read_text().strip()
        pid = (self.folder / f"{daemon}.pid").read_text().strip()
        # The daemons' ids are those of the node's own process namespace.
        inside = ["nsenter", "--target", supervisor, "--pid", "--mount"]
        subprocess.run([*inside, "kill", "-KILL", pid], check=True)

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A namespace under the restricted Pod Security Standard; deleted with what is in it."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        labels = {
            f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
        }
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--timeout=120s")


@contextmanager
def any_node() -> Iterator[Node]:
    """A node for as long as the block lasts. Only one is up at a time on a machine: others wait for their turn.

    A node of the kit that is up already (``tests/cluster/cluster.sh up``) is used as it is and left up.

    Raises:
        Unavailable: there is none, and none can be started.
    """
    os.environ["PATH"] = f"{cache() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    given = os.environ.get("KUBECONFIG")
    if given:
        if not shutil.which("kubectl"):
            raise Unavailable("KUBECONFIG is set, but there is no kubectl (tests/cluster/tools.sh)")
        yield Node(Path(given), None)
        return
    script, run = KIT / "cluster.sh", cache() / "run"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_up(run):
            yield Node(run / "admin.kubeconfig", run)
            return
        if os.geteuid() != 0:
            raise Unavailable(
                "a node needs root; or name a cluster of your own, kind for one, in KUBECONFIG"
            )
        environment = os.environ | {"HEMLINE_CLUSTER": str(cache())}
        # Its output is shown: a first time builds Kubernetes, and says so.
        up = subprocess.run([script, "up"], env=environment, check=False, timeout=_UP_SECONDS)
        if up.returncode:
            raise Unavailable("tests/cluster/cluster.sh up failed; its output is above")
        try:
            yield Node(run / "admin.kubeconfig", run)
        finally:
            subprocess.run([script, "down"], env=environment, check=True, timeout=300)


def _is_up(run: Path) -> bool:
    pid, mode = run / "pid", run / "mode"
    return (
        mode.exists()
        and mode.read_text().strip() == "full"
        and pid.exists()
        and Path("/proc", pid.read_text().strip()).exists()
    )
