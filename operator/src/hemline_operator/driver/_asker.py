"""Answers to a plan's questions: from ``samples serve`` by gRPC, from inference pods by HTTP."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio

from hemline_api import BadReport
from hemline_api.grpc import samples_pb2, samples_pb2_grpc
from hemline_api.report import TrainingReport
from hemline_api.resources import SnapshotStatus
from hemline_operator.kube import JOB, KubeApi, KubeError
from hemline_operator.plan import (
    AskJob,
    AskPod,
    AskReport,
    AskSnapshot,
    AskSummary,
    Fact,
    JobAnswer,
    Key,
    PodAnswer,
    Question,
    ReportAnswer,
    Summary,
    Unknown,
    VersionCount,
)

__all__ = ["Asker"]

_TIMEOUT: Final = 10.0
_MAX_STATUS_BYTES: Final = 1 << 20
_MAX_CHANNELS: Final = 1024


class Asker:
    """Asks services of every classifier. One question that fails is answered with ``Unknown``; none raises.

    Args:
        api: for what only the API server can answer.
        keep_seconds: how long counts are taken as they were: they change with every image, and what they change is
            watched, so asking at every look would never come to rest.
        pod_keep_seconds: the same for pods.
    """

    def __init__(self, api: KubeApi, *, keep_seconds: float, pod_keep_seconds: float = 0.5) -> None:
        self._api = api
        self._keep = keep_seconds
        self._pod_keep = pod_keep_seconds
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._known: dict[tuple[Key, Question], tuple[float, Fact]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End every connection."""
        if self._session:
            await self._session.close()
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def ask(
        self, key: Key, questions: Iterable[Question], servers: Sequence[str]
    ) -> dict[Question, Fact]:
        """Answers to every question.

        Args:
            key: the classifier.
            questions: what is to be known.
            servers: addresses of its ``samples serve`` pods that are ready.
        """
        wanted = list(questions)
        answers = await asyncio.gather(*(self._answer(key, one, servers) for one in wanted))
        return dict(zip(wanted, answers, strict=True))

    def forget(self, key: Key) -> None:
        """Drop what is known of a classifier that is gone."""
        self._known = {one: value for one, value in self._known.items() if one[0] != key}

    async def _answer(self, key: Key, question: Question, servers: Sequence[str]) -> Fact:
        now = time.monotonic()
        known = self._known.get((key, question))
        if known and now < known[0]:
            return known[1]
        if isinstance(question, AskPod):
            fact: Fact = await self._pod(question)
            keep = self._pod_keep
        elif isinstance(question, AskJob):
            fact = await self._job(key, question)
            keep = 0.0
        else:
            fact = await self._samples(question, servers)
            keep = self._keep if isinstance(fact, Summary) else 0.0
        if keep:
            if isinstance(question, AskSummary):  # an older baseline is not asked for again
                stale = [
                    one for one in self._known if one[0] == key and isinstance(one[1], AskSummary)
                ]
                for one in stale:
                    del self._known[one]
            self._known[key, question] = (now + keep, fact)
        return fact

    async def _samples(
        self, question: AskSummary | AskSnapshot | AskReport, servers: Sequence[str]
    ) -> Fact:
        why = "no pod of samples serve is ready"
        for server in servers:
            try:
                return await self._call(self._stub(server), question)
            except grpc.aio.AioRpcError as error:
                why = f"samples serve at {server}: {error.code().name}: {(error.details() or '')[:200]}"
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    break
            except BadReport as error:
                return Unknown(str(error))
        return Unknown(why)

    async def _call(self, stub: Any, question: AskSummary | AskSnapshot | AskReport) -> Fact:
        match question:
            case AskSummary():
                reply = await stub.GetSummary(_summary_request(question), timeout=_TIMEOUT)
                return Summary(
                    stream_labelled=reply.stream_labelled,
                    fresh_labelled=reply.fresh_labelled,
                    snapshot=(
                        reply.snapshot.images,
                        reply.snapshot.labels,
                        reply.snapshot.predictions,
                    ),
                    versions=tuple(
                        VersionCount(one.version, one.labelled, one.correct, one.answered)
                        for one in reply.versions
                    ),
                )
            case AskSnapshot():
                request = samples_pb2.TakeSnapshotRequest(tag=question.uid)
                reply = await stub.TakeSnapshot(request, timeout=_TIMEOUT)
                return SnapshotStatus(
                    images=reply.snapshot.images,
                    labels=reply.snapshot.labels,
                    predictions=reply.snapshot.predictions,
                )
            case AskReport():
                return await _report(stub, question)

    async def _job(self, key: Key, question: AskJob) -> Fact:
        try:
            there = await self._api.get(JOB, key.namespace, question.name) is not None
        except KubeError as error:
            return Unknown(str(error))
        return JobAnswer(there)

    async def _pod(self, question: AskPod) -> Fact:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0))
        try:
            async with self._session.get(f"http://{question.address}/status") as answer:
                if answer.status != 200:
                    return Unknown(f"{question.name}: HTTP {answer.status}")
                raw = await answer.content.read(_MAX_STATUS_BYTES)
                return _pod_answer(raw)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Unknown(f"{question.name}: {type(error).__name__}: {error}")

    def _stub(self, address: str) -> Any:
        if address not in self._channels:
            if len(self._channels) >= _MAX_CHANNELS:
                self._channels.pop(next(iter(self._channels)))
            self._channels[address] = grpc.aio.insecure_channel(
                address, options=[("grpc.enable_http_proxy", 0)]
            )
        return samples_pb2_grpc.SampleServiceStub(self._channels[address])


async def _report(stub: Any, question: AskReport) -> Fact:
    request = samples_pb2.ReportRequest(uid=question.uid)
    try:
        reply = await stub.GetReport(request, timeout=_TIMEOUT)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return ReportAnswer(None)
        raise
    return ReportAnswer(TrainingReport.from_json(reply.report))


def _summary_request(question: AskSummary) -> Any:
    request = samples_pb2.SummaryRequest()
    for name, versions in (
        ("since", question.since),
        ("answered_since", question.answered_since),
    ):
        if versions is not None:
            images, labels, predictions = versions
            snapshot = samples_pb2.Snapshot(images=images, labels=labels, predictions=predictions)
            getattr(request, name).CopyFrom(snapshot)
    return request


def _pod_answer(raw: bytes) -> PodAnswer:
    """What a pod said, as far as it makes sense: a pod may run another version of the service."""
    said = json.loads(raw)
    if not isinstance(said, dict):
        raise ValueError("expected an object")
    revision = said.get("revision")
    serving = said.get("serving")
    refused = said.get("refused")
    return PodAnswer(
        revision=revision if isinstance(revision, int) else None,
        serving=tuple(one for one in serving if isinstance(one, int))
        if isinstance(serving, list)
        else (),
        refused={
            int(version): str(reason)[:200]
            for version, reason in (refused.items() if isinstance(refused, dict) else ())
            if str(version).isdigit()
        },
    )
