"""The behaviours that other portable messaging libraries demand of their backends, and those of our own list, by name.

Every name is either that of a test of this suite (`@named`), or a non-goal with its reason; the library's own tests
hold that. Names alone come from there: the tests are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["NAMES", "NON_GOALS", "SUITES"]

# What a name begins with → where it is from.
SUITES: Mapping[str, str] = {
    "go-cloud": "the drivertest package of Go CDK's pubsub (gocloud.dev/pubsub/drivertest)",
    "Watermill": "the tests that every Watermill Pub/Sub runs (ThreeDotsLabs/watermill, pubsub/tests)",
    "Dapr": "Dapr's conformance tests of pub/sub components (dapr/components-contrib)",
    "Dapr Kafka": "Dapr's certification tests of its Kafka component",
    "Dapr GCP": "Dapr's certification tests of its Google Pub/Sub component",
    "C": "this library's own list",
}

NAMES: Sequence[str] = (
    "go-cloud TestSendReceive",
    "go-cloud TestSendReceiveTwo",
    "go-cloud TestSendReceiveJSON",
    "go-cloud TestNack",
    "go-cloud TestBatching",
    "go-cloud TestDoubleAck",
    "go-cloud TestErrorOnSendToClosedTopic",
    "go-cloud TestErrorOnReceiveFromClosedSubscription",
    "go-cloud TestCancelSendReceive",
    "go-cloud TestNonExistentTopicSucceedsOnOpenButFailsOnSend",
    "go-cloud TestNonExistentSubscriptionSucceedsOnOpenButFailsOnReceive",
    "go-cloud TestMetadata",
    "go-cloud TestNonUTF8MessageBody",
    "go-cloud TestAs",
    "go-cloud BenchmarkSend",
    "go-cloud BenchmarkReceive",
    "Watermill TestPublishSubscribe",
    "Watermill TestConcurrentSubscribe",
    "Watermill TestPublishSubscribeInOrder",
    "Watermill TestResendOnError",
    "Watermill TestNoAck",
    "Watermill TestContinueAfterSubscribeClose",
    "Watermill TestConcurrentClose",
    "Watermill TestContinueAfterErrors",
    "Watermill TestPublisherClose",
    "Watermill TestTopic",
    "Watermill TestMessageCtx",
    "Watermill TestSubscribeCtx",
    "Watermill TestNewSubscriberReceivesOldMessages",
    "Watermill TestReconnect",
    "Watermill TestConsumerGroups",
    "Watermill TestPubSubStressTest",
    "Dapr init",
    "Dapr ping",
    "Dapr subscribe",
    "Dapr bulkSubscribe",
    "Dapr publish",
    "Dapr bulkPublish",
    "Dapr verify read",
    "Dapr multiple handlers",
    "Dapr stop subscribers",
    "Dapr Kafka keyed order with errors",
    "Dapr Kafka second group",
    "Dapr Kafka consumers share a group",
    "Dapr Kafka brokers killed",
    "Dapr Kafka rebalance on stop",
    "Dapr Kafka network interruption",
    "Dapr Kafka kafka_exhausted_test",
    "Dapr Kafka kafka_transactions_test",
    "Dapr GCP errors and retry",
    "Dapr GCP not-subscribed topic",
    "Dapr GCP existing topic",
    "Dapr GCP disableEntityManagement",
    "Dapr GCP fifo order",
    "Dapr GCP dead letter",
    *(f"C{number}" for number in range(1, 19)),
)

NON_GOALS: Mapping[str, str] = {
    "go-cloud BenchmarkSend": "speed is measured beside the raw clients in bench/broker.py, never asserted in a test",
    "go-cloud BenchmarkReceive": "as BenchmarkSend",
    "Dapr Kafka network interruption": "to a client it is what a killed and restarted broker is (`restart`), and a "
    "Kafka client leaves a proxy at once for the addresses that the brokers advertise",
}
