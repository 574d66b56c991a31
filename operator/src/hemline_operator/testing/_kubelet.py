"""Plays the parts that a control plane without nodes lacks: the kubelet, the volumes, and the services in the pods.

No image runs here. What the operator sees of pods (their status, what inference says on /status, what samples serve
counts) is made up by this player and named so; what it does with that is real.
"""

import itertools
import json
import random
import threading
from collections.abc import Mapping
from concurrent import futures
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import grpc
import httpx

from hemline_api.grpc import samples_pb2, samples_pb2_grpc
from hemline_api.report import SnapshotRef, TrainingReport, Verdict
from hemline_operator.kube import CONFIG_MAP, JOB, POD, VOLUME_CLAIM, Kind
from hemline_operator.plan import COMPONENT_LABEL, GRPC_PORT, HTTP_PORT
from hemline_operator.testing._cluster import Cluster

__all__ = ["PlayedKubelet"]

Object = dict[str, Any]
NUDGE = "hemline.dev/rollout"
VOLUME = Kind("", "v1", "PersistentVolume", "persistentvolumes")


class _Samples(samples_pb2_grpc.SampleServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """What ``samples serve`` says of a lake that is not there."""

    def __init__(self) -> None:
        self.labelled = 0
        self.versions: dict[int, tuple[int, int]] = {}
        self.snapshots: dict[str, int] = {}
        self.reports: dict[str, bytes] = {}

    def GetSummary(self, request: Any, context: Any) -> Any:  # noqa: N802
        since = request.since.labels if request.HasField("since") else 0
        reply = samples_pb2.Summary(
            stream_labelled=self.labelled, fresh_labelled=self.labelled - since
        )
        reply.snapshot.labels = self.labelled
        for version, (labelled, correct) in self.versions.items():
            reply.versions.add(version=version, labelled=labelled, correct=correct)
        return reply

    def TakeSnapshot(self, request: Any, context: Any) -> Any:  # noqa: N802
        labels = self.snapshots.setdefault(request.tag, self.labelled)
        reply = samples_pb2.SnapshotReply()
        reply.snapshot.labels = labels
        return reply

    def GetReport(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.uid not in self.reports:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no report of {request.uid}")
        return samples_pb2.ReportReply(report=self.reports[request.uid])


class PlayedKubelet:
    """Brings the pods of one namespace up, and Jobs' pods to an end when told.

    Args:
        cluster: the API server, with every right.
        namespace: the namespace.
        trainers: whether pods of Jobs end by themselves, with a report that their version improved.
    """

    def __init__(self, cluster: Cluster, namespace: str, *, trainers: bool = False) -> None:
        self.samples = _Samples()
        self.trainers = trainers
        self.refused: dict[str, str] = {}
        self.deaf = False
        """Whether notes on pods are ignored, as by a kubelet whose copy of the ConfigMap is old."""
        self.full = ""
        """Why no node takes a trainer's pod; empty: one does."""
        self._cluster = cluster
        self._namespace = namespace
        # Every pod has a loopback address of its own, since ports are the same in all of them.
        chance = random.Random(namespace)
        prefix = f"127.{chance.randrange(1, 255)}.{chance.randrange(255)}"
        self._addresses = (f"{prefix}.{number}" for number in itertools.count(1))
        self._loaded: dict[str, tuple[str, int]] = {}
        self._jobs_seen: dict[str, set[str]] = {}
        self._volumes: list[str] = []
        self._servers: list[ThreadingHTTPServer] = []
        self._grpc: list[grpc.Server] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        for name in self._volumes:
            self._cluster.delete(VOLUME, None, name)
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for one in self._grpc:
            one.stop(None)

    def jobs_that_ran(self) -> dict[str, set[str]]:
        """Uids of Jobs whose pods were started, by the uid of their FineTune."""
        return self._jobs_seen

    def end_trainer(self, job: str, message: str, *, succeeded: bool = True) -> None:
        """The trainer's container ends with this termination message."""
        selector = f"batch.kubernetes.io/job-name={job}"

        def ended() -> bool:
            pods = [
                pod
                for pod in self._cluster.list(POD, self._namespace, selector)
                if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            ]
            for pod in pods:
                try:
                    self._end(pod, message, succeeded=succeeded)
                except httpx.HTTPStatusError:
                    return False  # it changed meanwhile
            return bool(pods)

        self._cluster.wait(f"the trainer of {job} to end", ended)

    def report(self, uid: str, version: int = 2, base: int = 1, **changes: Any) -> TrainingReport:
        """A report of a run that improved."""
        now = datetime.now(UTC)
        fields: Object = {
            "uid": uid,
            "classifier": "mnist",
            "verdict": Verdict.IMPROVED,
            "reasons": ("better on the newest labels",),
            "base_version": base,
            "version": version,
            "snapshot": SnapshotRef(images=1, labels=1, predictions=1),
            "samples": 9000,
            "fresh_samples": 500,
            "steps": 250,
            "batch_size": 128,
            "started_at": now,
            "finished_at": now,
        }
        return TrainingReport.model_validate(fields | changes)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._look()
            except (httpx.TransportError, httpx.HTTPStatusError):
                continue  # the API server is being started again, or an object changed meanwhile

    def _look(self) -> None:
        for claim in self._cluster.list(VOLUME_CLAIM, self._namespace):
            if "volumeName" not in claim["spec"]:
                self._provide(claim)
        for pod in self._cluster.list(POD, self._namespace):
            labels = pod["metadata"].get("labels", {})
            component = labels.get(COMPONENT_LABEL)
            if "deletionTimestamp" in pod["metadata"]:
                self._remove(pod)
            elif component == "trainer":
                self._train(pod)
            elif component:
                self._bring_up(pod, component)

    def _provide(self, claim: Object) -> None:
        """A volume for a claim, bound by the real controller."""
        meta = claim["metadata"]
        name = f"played-{meta['uid']}"
        if name in self._volumes:
            return
        spec = {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {
                "namespace": self._namespace,
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
        self._cluster.create(VOLUME, None, {"metadata": {"name": name}, "spec": spec})
        self._volumes.append(name)

    def _remove(self, pod: Object) -> None:
        self._cluster.http.request(
            "DELETE",
            POD.path(self._namespace, pod["metadata"]["name"]),
            json={"gracePeriodSeconds": 0},
        )

    def _bring_up(self, pod: Object, component: str) -> None:
        name = pod["metadata"]["name"]
        if pod.get("status", {}).get("phase") != "Running":
            address = next(self._addresses)
            if component == "inference":
                self._serve_status(address, name)
            if component == "serve":
                self._serve_samples(address)
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            status = {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [ready],
            }
            self._status(POD, pod, status)
        note = pod["metadata"].get("annotations", {}).get(NUDGE, "")
        if self.deaf:
            return
        if component == "inference" and self._loaded.get(name, (None, 0))[0] != note:
            self._loaded[name] = (note, self._revision(pod))

    def _revision(self, pod: Object) -> int:
        classifier = pod["metadata"]["labels"]["hemline.dev/classifier"]
        found = self._cluster.get(CONFIG_MAP, self._namespace, f"{classifier}-rollout")
        return int(json.loads(found["data"]["rollout.json"])["revision"]) if found else 0

    def _train(self, pod: Object) -> None:
        owner = pod["metadata"]["ownerReferences"][0]["uid"]
        job = next(
            (
                one
                for one in self._cluster.list(JOB, self._namespace)
                if one["metadata"]["uid"] == owner
            ),
            None,
        )
        if job is None:
            return
        if self.full:
            refusal = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            self._status(POD, pod, {"conditions": [refusal | {"message": self.full}]})
            return
        uid = job["metadata"]["ownerReferences"][0]["uid"]
        self._jobs_seen.setdefault(uid, set()).add(owner)
        phase = pod.get("status", {}).get("phase")
        if phase == "Pending":
            # Where there is a scheduler, it has said that no node takes the pod.
            scheduled = {"type": "PodScheduled", "status": "True"}
            self._status(POD, pod, {"phase": "Running", "conditions": [scheduled]})
        elif phase == "Running" and self.trainers:
            self._end(pod, self.report(uid).digest().decode(), succeeded=True)

    def _end(self, pod: Object, message: str, *, succeeded: bool) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        code = 0 if succeeded else 1
        ended = {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}
        container = {
            "name": "trainer",
            "image": "none",
            "imageID": "none",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": ended},
        }
        phase = "Succeeded" if succeeded else "Failed"
        self._status(POD, pod, {"phase": phase, "containerStatuses": [container]})

    def _status(self, kind: Any, body: Object, status: Mapping[str, Any]) -> None:
        # Not over what somebody else wrote since it was read: a trainer that has ended does not run again.
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        self._cluster.patch(
            kind,
            self._namespace,
            body["metadata"]["name"],
            {"metadata": version, "status": status},
            "/status",
        )

    def _serve_status(self, address: str, pod: str) -> None:
        player = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, revision = player._loaded.get(pod, ("", 0))
                answer = {"revision": revision, "serving": [1], "refused": player.refused}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        server = ThreadingHTTPServer((address, HTTP_PORT), Handler)
        server.daemon_threads = True
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _serve_samples(self, address: str) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        samples_pb2_grpc.add_SampleServiceServicer_to_server(self.samples, server)
        server.add_insecure_port(f"{address}:{GRPC_PORT}")
        server.start()
        self._grpc.append(server)
