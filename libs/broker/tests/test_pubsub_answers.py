"""What the emulator cannot be made to say - refusals, exactly-once failures - said by a server within the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types
from google.rpc import error_details_pb2, status_pb2

from hemline_broker import (
    AckLost,
    BrokerError,
    Denied,
    InvalidOption,
    Message,
    NotFound,
    SendFailed,
    TooLarge,
    Unavailable,
    connect,
)
from hemline_broker._pubsub._publisher import ORDERED_LABEL
from hemline_broker._pubsub._settings import GLOBAL_ENDPOINT, Settings
from hemline_broker._url import BrokerURL
from hemline_broker.testing import Harness, numbered

Answer = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]
DENIED, MISSING = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND

_REQUESTS = {
    "Publisher": {
        "CreateTopic": (types.Topic, types.Topic),
        "GetTopic": (types.GetTopicRequest, types.Topic),
        "ListTopics": (types.ListTopicsRequest, types.ListTopicsResponse),
        "Publish": (types.PublishRequest, types.PublishResponse),
    },
    "Subscriber": {
        "CreateSubscription": (types.Subscription, types.Subscription),
        "GetSubscription": (types.GetSubscriptionRequest, types.Subscription),
        "Acknowledge": (types.AcknowledgeRequest, None),
        "ModifyAckDeadline": (types.ModifyAckDeadlineRequest, None),
    },
}


class Server:
    """Pub/Sub as far as a consumer and a sender need it: everything is there and succeeds unless told otherwise.

    Attributes:
        url: of this server.
        answers: method → what answers instead.
        calls: (method, request) so far.
        waiting: messages that a stream delivers once.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, Any]] = []
        self.waiting: list[bytes] = []
        self._server = grpc.aio.server()
        for service, methods in _REQUESTS.items():
            handlers: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(
                    self._unary(name, answer),
                    request_deserializer=request.pb().FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
                for name, (request, answer) in methods.items()
            }
            if service == "Subscriber":
                handlers["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
                    self._pull,
                    request_deserializer=types.StreamingPullRequest.pb().FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
            name = f"google.pubsub.v1.{service}"
            generic = grpc.method_handlers_generic_handler(name, handlers)
            self._server.add_generic_rpc_handlers((generic,))

    async def __aenter__(self) -> Server:
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.url = f"pubsub://project?endpoint=127.0.0.1:{port}&lease=1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def refuse(self, method: str, code: grpc.StatusCode, details: str) -> None:
        """Answer with a failure."""

        async def answer(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            await context.abort(code, details)

        self.answers[method] = answer

    def asked(self, method: str) -> list[Any]:
        """The requests of a method so far."""
        return [request for name, request in self.calls if name == method]

    def _unary(self, name: str, answer: Any) -> Answer:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self.calls.append((name, request))
            if name in self.answers:
                return await self.answers[name](request, context)
            if name == "Publish":
                ids = [str(number) for number in range(len(request.messages))]
                return answer.pb()(message_ids=ids)
            return answer.pb()() if answer is not None else Empty()

        return handle

    async def _pull(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        if "StreamingPull" in self.answers:
            await self.answers["StreamingPull"](None, context)
        waiting, self.waiting = self.waiting, []
        yield types.StreamingPullResponse.pb()(
            received_messages=[
                types.ReceivedMessage.pb()(
                    ack_id=f"ack-{body.decode()}",
                    message=types.PubsubMessage.pb()(
                        data=body, message_id=f"id-{body.decode()}", attributes={"ce-id": body}
                    ),
                )
                for body in waiting
            ]
        )
        async for _ in requests:
            pass


def exactly_once(refused: dict[str, str]) -> Answer:
    """A request that failed in part, as Pub/Sub says it under exactly-once delivery."""
    info = error_details_pb2.ErrorInfo(reason="EXACTLY_ONCE_ACKID_FAILURE", metadata=refused)
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(
        code=9, message="some acknowledgement ids are invalid", details=[detail]
    )

    async def answer(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, status.message)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("CreateTopic", "the permission pubsub.topics.create, which roles/pubsub.editor has"),
        ("CreateSubscription", "pubsub.topics.attachSubscription, which roles/pubsub.editor has"),
    ],
)
async def test_making_what_one_may_not_make(server: Server, method: str, says: str) -> None:
    async with connect(server.url) as broker:
        if method == "CreateTopic":
            server.refuse("GetTopic", MISSING, "Topic not found")
        server.refuse("GetSubscription", MISSING, "Subscription not found")
        server.refuse(method, DENIED, "User not authorized to perform this action.")
        with pytest.raises(Denied) as caught:
            await broker.ensure("t", "g")
    assert "User not authorized to perform this action. (PERMISSION_DENIED)" in str(caught.value)
    assert says in str(caught.value)
    assert not caught.value.retryable
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_sending_where_one_may_not_send(server: Server) -> None:
    server.refuse("Publish", DENIED, "User not authorized")
    async with connect(server.url) as broker:
        with pytest.raises(Denied, match=r"pubsub\.topics\.publish, which roles/pubsub\.publisher"):
            await broker.send("t", Message(b"x"))
    assert len(server.asked("Publish")) == 1, "what is refused is not tried again"


async def test_a_right_to_send_alone_is_enough(server: Server) -> None:
    """Neither looking at the topic nor listing topics is needed; keys keep their order to be sure."""
    server.refuse("ListTopics", DENIED, "no")
    server.refuse("GetTopic", DENIED, "no")
    async with connect(server.url) as broker:
        await broker.send("t", Message(b"x", key="k"))
    (request,) = server.asked("Publish")
    assert request.messages[0].ordering_key == "k"


async def test_consuming_what_one_may_not_consume(server: Server) -> None:
    server.refuse("StreamingPull", DENIED, "User not authorized")
    async with connect(server.url) as broker, broker.subscribe("t", group="g") as subscription:
        with pytest.raises(Denied, match=r"subscriptions\.consume, which roles/pubsub\.subscriber"):
            await Harness(server.url).one(subscription)


async def test_no_credentials(server: Server) -> None:
    server.refuse("ListTopics", grpc.StatusCode.UNAUTHENTICATED, "who are you?")
    with pytest.raises(Denied, match="GOOGLE_APPLICATION_CREDENTIALS"):
        async with connect(server.url):
            pass


async def test_a_project_that_does_not_exist(server: Server) -> None:
    server.refuse("ListTopics", MISSING, "Requested project not found")
    with pytest.raises(NotFound, match=r"is the project's id right\?"):
        async with connect(server.url):
            pass


async def test_a_service_that_is_busy_is_asked_again(server: Server) -> None:
    async def answer(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if len(server.asked("Publish")) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return types.PublishResponse.pb()(message_ids=["position"])

    server.answers["Publish"] = answer
    async with connect(server.url) as broker:
        assert (await broker.send("t", Message(b"x"))).position == "position"
    assert len(server.asked("Publish")) == 3


async def test_an_answer_without_sense_is_an_error_at_once(server: Server) -> None:
    async def answer(*_: Any) -> Any:
        return types.PublishResponse.pb()()

    server.answers["Publish"] = answer
    async with connect(server.url) as broker:
        with pytest.raises(BrokerError, match="0 positions for 1 message"):
            await broker.send("t", Message(b"x"))


async def test_one_message_that_the_server_refuses_spoils_no_other(server: Server) -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if any(message.data == b"3" for message in request.messages):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "one of the messages is bad")
        return types.PublishResponse.pb()(message_ids=["p"] * len(request.messages))

    server.answers["Publish"] = answer
    async with connect(server.url) as broker:
        with pytest.raises(SendFailed, match="one of the messages is bad") as caught:
            await broker.send_many("t", numbered(8))
    assert list(caught.value.errors) == [3]


def ordered(server: Server) -> list[bytes]:
    """Let every topic keep order and the server refuse the body "bad"; what it took, in order."""
    took: list[bytes] = []

    async def topic(request: Any, _: Any) -> Any:
        return types.Topic.pb()(name=request.topic, labels={ORDERED_LABEL: "true"})

    async def publish(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if any(message.data == b"bad" for message in request.messages):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "one of the messages is bad")
        took.extend(message.data for message in request.messages)
        return types.PublishResponse.pb()(message_ids=["p"] * len(request.messages))

    server.answers |= {"GetTopic": topic, "Publish": publish}
    return took


# Refused by the server, which says no more than that; and before it is asked.
REFUSED = [Message(b"bad", key="k"), Message(b"bad", key="k", headers={"h": "x" * 2000})]


@pytest.mark.parametrize("bad", REFUSED, ids=["by the server", "by ourselves"])
@pytest.mark.parametrize("place", [0, 1, 4, 6])
async def test_nothing_of_a_key_goes_before_what_failed(
    server: Server, bad: Message, place: int
) -> None:
    """On an ordered topic what follows a failure of its key is not sent, and may be again; other keys go on."""
    took = ordered(server)
    messages = [Message(b"%d" % n, key="k") for n in range(7)]
    messages[place] = bad
    others = [Message(b"x%d" % n, key="other") for n in range(3)]
    async with connect(server.url) as broker:
        with pytest.raises(SendFailed) as caught:
            await broker.send_many("t", [*messages, *others, Message(b"keyless")])
        errors = caught.value.errors
        assert sorted(errors) == list(range(place, 7))
        assert not errors[place].retryable
        for behind in range(place + 1, 7):
            assert errors[behind].retryable
            assert "not sent: the topic keeps the order of a key" in str(errors[behind])
            assert str(errors[place]) in str(errors[behind])
        # Without the bad one they go, in their order.
        await broker.send_many("t", messages[place + 1 :])
    mine = [body for body in took if body.isdigit()]
    assert mine == [b"%d" % n for n in range(7) if n != place]
    assert [body for body in took if not body.isdigit()].count(b"keyless") == 1
    assert {b"x0", b"x1", b"x2"} <= set(took)


async def test_nor_do_those_of_another_call(server: Server) -> None:
    """Calls side by side queue for the same key: what was called later is behind what failed."""
    took = ordered(server)
    async with connect(server.url) as broker:
        await broker.send("t", Message(b"first", key="k"))
        bad, behind, other = await asyncio.gather(
            broker.send("t", Message(b"bad", key="k")),
            broker.send("t", Message(b"behind", key="k")),
            broker.send("t", Message(b"other", key="other")),
            return_exceptions=True,
        )
    assert isinstance(bad, BrokerError) and not bad.retryable
    assert isinstance(behind, Unavailable)
    assert not isinstance(other, BaseException)
    assert took == [b"first", b"other"]


async def test_an_ordered_topic_that_is_gone_says_so_of_every_message(server: Server) -> None:
    ordered(server)
    server.refuse("Publish", MISSING, "Topic not found")
    async with connect(server.url) as broker:
        with pytest.raises(NotFound):
            await broker.send_many("t", [Message(b"x", key="k") for _ in range(1500)])


async def test_ten_megabytes_need_a_claim_check(server: Server) -> None:
    async with connect(server.url) as broker:
        with pytest.raises(TooLarge, match="claim_check="):
            await broker.send("t", Message(bytes(9_990_001)))
    assert not server.asked("Publish")


async def test_a_group_whose_subscription_reads_another_topic(server: Server) -> None:
    """It would get the other's messages; one that has outlived its topic would get none."""

    async def answer(request: Any, _: Any) -> Any:
        return types.Subscription.pb()(name=request.subscription, topic=reads)

    server.answers["GetSubscription"] = answer
    async with connect(server.url) as broker:
        reads = "projects/project/topics/other"
        with pytest.raises(InvalidOption, match=r"reads projects/project/topics/other: take"):
            await broker.ensure("t", "g")
        with pytest.raises(InvalidOption, match=r"subscriptions/t\.g, which reads"):
            async with broker.subscribe("t", group="g"):
                pass
        reads = "_deleted-topic_"
        with pytest.raises(NotFound, match=r"forget\('t', 'g'\), then ensure\('t', 'g'\)"):
            await broker.ensure("t", "g")
        reads = "projects/project/topics/t"
        await broker.ensure("t", "g")


# --- exactly-once delivery ---------------------------------------------------------------------------------------


async def test_of_acks_that_failed_in_part_the_lost_are_named_and_the_others_tried_again(
    server: Server,
) -> None:
    server.waiting = [b"fine", b"late", b"slow"]
    server.answers["Acknowledge"] = exactly_once(
        {
            "ack-late": "PERMANENT_FAILURE_INVALID_ACK_ID",
            "ack-slow": "TRANSIENT_FAILURE_INVALID_ACK_ID",
        }
    )
    harness = Harness(server.url)
    async with connect(server.url) as broker, broker.subscribe("t", group="g") as subscription:
        for delivery in await harness.take(subscription, 3):
            delivery.ack()
        await harness.until(lambda: len(server.asked("Acknowledge")) == 1)
        del server.answers["Acknowledge"]
        with pytest.raises(AckLost) as caught:
            await subscription.settled()
        assert caught.value.ids == ("late",)
        await subscription.settled()
    first, again = server.asked("Acknowledge")
    assert sorted(first.ack_ids) == ["ack-fine", "ack-late", "ack-slow"]
    assert list(again.ack_ids) == ["ack-slow"]


async def test_a_renewal_that_failed_in_part_renews_the_others(server: Server) -> None:
    server.waiting = [b"fine", b"late"]
    server.answers["ModifyAckDeadline"] = exactly_once(
        {"ack-late": "PERMANENT_FAILURE_INVALID_ACK_ID"}
    )
    harness = Harness(server.url)
    async with connect(server.url) as broker, broker.subscribe("t", group="g") as subscription:
        (fine,) = await harness.take(subscription, 1)
        # Known at the first renewal already: what is lost is not even handed out.
        assert fine.message.data == b"fine"
        renewed = len(server.asked("ModifyAckDeadline"))
        await harness.until(lambda: len(server.asked("ModifyAckDeadline")) > renewed + 5)
        assert not fine.lease.lost
        assert {tuple(r.ack_ids) for r in server.asked("ModifyAckDeadline")[1:]} == {("ack-fine",)}
        fine.ack()
        await subscription.settled()


async def test_acks_that_are_refused_for_good_are_lost(server: Server) -> None:
    server.waiting = [b"x"]
    server.refuse("Acknowledge", DENIED, "User not authorized")
    async with connect(server.url) as broker, broker.subscribe("t", group="g") as subscription:
        (await Harness(server.url).one(subscription)).ack()
        with pytest.raises(AckLost):
            await subscription.settled()


# --- settings ----------------------------------------------------------------------------------------------------


def parse(url: str, **environment: str) -> Settings:
    return Settings.parse(BrokerURL.parse(url), environment)


def test_settings_have_defaults_for_the_service_itself() -> None:
    assert parse("pubsub://my-project") == Settings(
        "my-project", GLOBAL_ENDPOINT, True, 15, 3600.0, 86_400
    )


def test_settings_come_from_the_url() -> None:
    url = "pubsub://p?endpoint=localhost:8085&lease=2&max_lease=7.5&retention=600"
    assert parse(url) == Settings("p", "localhost:8085", False, 2, 7.5, 600)
    assert parse("pubsub://p?endpoint=europe-west1-pubsub.googleapis.com:443").secure
    assert parse("pubsub://p?endpoint=private.example:443").secure
    assert parse("pubsub://p?endpoint=proxy.example:8443&security=tls").secure
    assert parse("pubsub://p?retention=0").retention_s == 0


def test_the_environment_names_an_emulator_and_the_url_comes_first() -> None:
    found = parse("pubsub://p", PUBSUB_EMULATOR_HOST="localhost:8085")
    assert (found.endpoint, found.secure) == ("localhost:8085", False)
    url = "pubsub://p?endpoint=127.0.0.1:9"
    assert parse(url, PUBSUB_EMULATOR_HOST="localhost:8085").endpoint == "127.0.0.1:9"
    assert parse("pubsub://p", PUBSUB_EMULATOR_HOST="").endpoint == GLOBAL_ENDPOINT


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("pubsub://p?leese=20", "unknown option leese in a pubsub URL; did you mean lease?"),
        ("pubsub://p?retension=0", "did you mean retention?"),
        ("pubsub://p?colour=red", "it knows endpoint, security, lease, max_lease, retention"),
        ("pubsub://p?lease=5", "option lease='5' of a pubsub URL: expected 10 to 600 whole seconds"),
        ("pubsub://p?endpoint=h:1&lease=0", "expected 1 to 600 whole seconds"),
        ("pubsub://p?lease=soon", "expected 10 to 600 whole seconds"),
        ("pubsub://p?max_lease=0", "expected a number above 0"),
        ("pubsub://p?retention=60", "expected 600 to 2,678,400 whole seconds"),
        ("pubsub://p?endpoint=localhost", "expected host:port, such as localhost:8085"),
        ("pubsub://p?endpoint=http://localhost:8085", "expected host:port"),
        ("pubsub://p?endpoint=localhost:99999", "expected host:port"),
        ("pubsub://p?security=maybe", "expected one of tls, plaintext"),
        ("pubsub://", "a pubsub URL names a Google Cloud project"),
        ("pubsub://My_Project", "a pubsub URL names a Google Cloud project"),
    ],
)  # fmt: skip
def test_settings_that_are_not_understood(url: str, says: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(url)
    assert says in str(caught.value)


def test_an_emulator_that_is_no_address_is_named() -> None:
    with pytest.raises(
        InvalidOption, match=r"^PUBSUB_EMULATOR_HOST='http://localhost:8085': expec"
    ):
        parse("pubsub://p", PUBSUB_EMULATOR_HOST="http://localhost:8085")


async def test_without_credentials_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    with pytest.raises(Denied, match=r"no credentials for Pub/Sub: .*missing\.json"):
        async with asyncio.timeout(60), connect("pubsub://p"):
            pass
