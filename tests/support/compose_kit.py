"""The services of compose.yaml as pods: the same images, commands, settings, checks and volumes, on a real node.

No container engine is needed for that; what Compose does itself (order, health, volumes) is read from the same file.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from cluster_kit import ROOT, Images, Node, NodeKafka

__all__ = ["Composed"]


Service = Mapping[str, Any]


class Composed:
    """compose.yaml in a namespace of a node. Kafka is the one beside the node instead of the broker's image."""

    def __init__(self, node: Node, namespace: str, images: Images, kafka: NodeKafka) -> None:
        self.node = node
        self.namespace = namespace
        self.images = images
        self.kafka = kafka
        document = yaml.safe_load((ROOT / "compose.yaml").read_text())
        self.services: Mapping[str, Service] = document["services"]
        self.volumes: list[str] = list(document["volumes"])

    def up(self) -> None:
        """Everything that has no profile, in the order of its dependencies."""
        self.node.apply(*self._claims(), self._examples(), *self._names(), namespace=self.namespace)
        started: set[str] = {"broker"}
        waiting = [name for name, one in self.services.items() if "profiles" not in one]
        while waiting := [name for name in waiting if name not in started]:
            name = next(one for one in waiting if started >= set(self._dependencies(one)))
            for other, condition in self._dependencies(name).items():
                self._wait(other, condition["condition"])
            self.start(name)
            started.add(name)

    def start(self, name: str, *arguments: str, command: tuple[str, ...] = ()) -> None:
        """One service; ``arguments`` come after its own, ``command`` instead of them, as with `docker compose run`."""
        self.node.kubectl(
            "-n", self.namespace, "delete", "pod", name, "--ignore-not-found", "--timeout=60s"
        )
        self.node.apply(self._pod(name, arguments, command), namespace=self.namespace)

    def ended(self, name: str, *, seconds: float = 300) -> str:
        """Wait until a service has come to a good end; return what it printed."""
        deadline = time.monotonic() + seconds
        while (phase := self._status(name)["phase"]) != "Succeeded":
            if phase == "Failed" or time.monotonic() > deadline:
                raise AssertionError(f"{name} is {phase}, it printed:\n{self.logs(name)}")
            time.sleep(0.5)
        return self.logs(name)

    def logs(self, name: str) -> str:
        """What a service printed."""
        return self.node.kubectl("-n", self.namespace, "logs", name, check=False)

    def asked(self, name: str) -> dict[str, Any]:
        """What a service answers on /status."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}:9090/proxy/status"
        answer: dict[str, Any] = yaml.safe_load(self.node.kubectl("get", "--raw", path))
        return answer

    def restarts(self) -> dict[str, int]:
        """How often each was started again."""
        pods = self.node.get("-n", self.namespace, "pods")["items"]
        return {
            one["metadata"]["name"]: one["status"]["containerStatuses"][0]["restartCount"]
            for one in pods
        }

    def _dependencies(self, name: str) -> Mapping[str, Mapping[str, str]]:
        found: Mapping[str, Mapping[str, str]] = self.services[name].get("depends_on", {})
        return found

    def _wait(self, name: str, condition: str) -> None:
        if name == "broker":
            return
        if condition == "service_completed_successfully":
            self.ended(name)
        else:
            self.node.kubectl(
                *("-n", self.namespace, "wait", "--for=condition=Ready", f"pod/{name}"),
                "--timeout=240s",
            )

    def _status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.node.get("-n", self.namespace, "pod", name)["status"]
        return status

    def _claims(self) -> Iterator[dict[str, Any]]:
        for volume in self.volumes:
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": volume},
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }

    def _examples(self) -> dict[str, Any]:
        files = (ROOT / "examples" / "compose").glob("*.py")
        data = {file.name: file.read_text() for file in files}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "examples"},
            "data": data,
        }

    def _names(self) -> Iterator[dict[str, Any]]:
        for name in self.services:
            yield {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"clusterIP": "None", "selector": {"service": name}},
            }

    def _pod(self, name: str, arguments: tuple[str, ...], command: tuple[str, ...]) -> Any:
        service = self.services[name]
        image = service["image"].split("/")[1].split(":")[0]
        container: dict[str, Any] = {
            "name": "main",
            "image": self.images[image],
            "imagePullPolicy": "IfNotPresent",
            "env": [
                {"name": key, "value": str(value).replace("broker:9092", self.kafka.pods)}
                for key, value in service.get("environment", {}).items()
            ]
            # The broker is shared with other tests: topics of one's own.
            + [{"name": "HEMLINE_NAMESPACE", "value": self.namespace}],
            "securityContext": {
                "allowPrivilegeEscalation": "no-new-privileges:true" not in service["security_opt"],
                "readOnlyRootFilesystem": service["read_only"],
                "capabilities": {"drop": service["cap_drop"]},
            },
        }
        container["command" if service.get("entrypoint") == [] else "args"] = [
            *(command or service.get("command", [])),
            *arguments,
        ]
        if check := service.get("healthcheck"):
            probe = {"exec": {"command": check["test"][1:]}, "timeoutSeconds": 10}
            container["readinessProbe"] = probe | {"periodSeconds": 2, "failureThreshold": 60}
        volumes, container["volumeMounts"] = self._mounts(service)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"service": name}},
            "spec": {
                "restartPolicy": "Never" if service["restart"] == "no" else "Always",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": volumes,
            },
        }

    def _mounts(self, service: Service) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        volumes: list[dict[str, Any]] = []
        mounts: list[dict[str, Any]] = []
        for place in service["tmpfs"]:
            volumes.append({"name": "tmp", "emptyDir": {"medium": "Memory"}})
            mounts.append({"name": "tmp", "mountPath": place})
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            name = source.rsplit("/", maxsplit=1)[-1]
            if source.startswith("./"):
                name = "examples"
                volumes.append({"name": name, "configMap": {"name": name}})
            else:
                volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
            mounts.append({"name": name, "mountPath": target, "readOnly": mode == ["ro"]})
        return volumes, mounts
