"""The dashboard *Stream*: are images answered, how fast, and what is lost on the way."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from hemline_api import metrics as m
from hemline_observability._board import Row, annotation, board
from hemline_observability._panels import Query, figure, graph, thresholds
from hemline_observability._promql import mean, quantile, rate, series, share_within

__all__ = ["stream"]

_SLO_SECONDS = 1.0


def stream() -> Dashboard:
    """Rate, latency, lag, batch size, dead letters and swaps of one classifier."""
    return board(
        "hemline-stream",
        "Hemline / Stream",
        "One classifier's images on their way: how many, how fast, what waits, what went wrong.",
        [_now(), _speed(), _backlog(), _trouble(), _swaps(), _client()],
        [
            annotation(
                "Rollouts",
                f"changes({series(m.LIFECYCLE_REVISION)}[1m]) > 0",
                "new rollout document",
                "blue",
            )
        ],
    )


def _now() -> Row:
    return Row(
        "Now",
        [
            figure(
                "Answers",
                "Images answered a second, all inference pods together.",
                "ops",
                Query(rate(m.INFERENCE_PREDICTIONS), "answers"),
            ),
            figure(
                "Answered within 1 s",
                "Share of images whose answer was durable within a second of the time their sender gave them: "
                "the service level objective is 99 %. Includes the time an image waited on the broker.",
                "percentunit",
                Query(share_within(_SLO_SECONDS, m.INFERENCE_ANSWER_AGE), "within 1 s"),
                limits=thresholds((None, "red"), (0.95, "orange"), (0.99, "green")),
                decimals=2,
            ),
            figure(
                "Age at answer, p99",
                "99 of 100 images are answered sooner than this after the time their sender gave them.",
                "s",
                Query(quantile(0.99, m.INFERENCE_ANSWER_AGE), "p99"),
                limits=thresholds((None, "green"), (_SLO_SECONDS, "orange"), (5, "red")),
            ),
            figure(
                "Waiting",
                "Stream images of the last hour without an answer, as the lake knows it: the same on Kafka, Pub/Sub "
                "and SQLite. Scaling on Pub/Sub follows this number.",
                "short",
                Query(f"max({series(m.SERVE_UNANSWERED)})", "images"),
                limits=thresholds((None, "green"), (1_000, "orange"), (10_000, "red")),
            ),
            figure(
                "Dead letters, last hour",
                "Messages that were given up in the last hour. `hemline dead list` shows each with its reason.",
                "short",
                Query(f"sum(increase({series(m.BROKER_DEAD)}[1h]))", "messages"),
                limits=thresholds((None, "green"), (1, "orange"), (100, "red")),
                decimals=0,
            ),
            figure(
                "Inference pods",
                "Inference processes that Prometheus reaches.",
                "short",
                Query(f"count({series(m.INFERENCE_REVISION)})", "pods"),
                limits=thresholds((None, "red"), (1, "green")),
            ),
        ],
    )


def _speed() -> Row:
    return Row(
        "Rate and latency",
        [
            graph(
                "Answers by version",
                "Who answers: under a canary two versions share the stream, after a promotion the new one has all.",
                "ops",
                Query(rate(m.INFERENCE_PREDICTIONS, by="version"), "v{{version}}"),
                style="stack",
            ),
            graph(
                "Age of images at their answer",
                "From the time its sender gave an image to its answer being durable, waiting on the broker included. "
                "The dashed line is the objective: 99 % within 1 s.",
                "s",
                Query(quantile(0.5, m.INFERENCE_ANSWER_AGE), "p50"),
                Query(quantile(0.9, m.INFERENCE_ANSWER_AGE), "p90"),
                Query(quantile(0.99, m.INFERENCE_ANSWER_AGE), "p99"),
                limits=thresholds((None, "transparent"), (_SLO_SECONDS, "red")),
            ),
            graph(
                "Time inside inference",
                "From taking an image off the broker to its answer being durable. Far below the age above means images "
                "wait on the broker: more pods help. Close to it means the pod itself is slow.",
                "s",
                Query(quantile(0.5, m.INFERENCE_LATENCY), "p50"),
                Query(quantile(0.99, m.INFERENCE_LATENCY), "p99"),
                Query(mean(m.INFERENCE_LATENCY), "mean"),
            ),
            graph(
                "Batch size",
                "Images in one run of the engine: 1 when idle, hundreds under load. At the limit all the time means "
                "the engine is the bottleneck.",
                "short",
                Query(mean(m.INFERENCE_BATCH), "mean"),
                Query(quantile(0.95, m.INFERENCE_BATCH), "p95"),
            ),
        ],
    )


def _backlog() -> Row:
    return Row(
        "Backlog and messages",
        [
            graph(
                "Lag by consumer group",
                "Messages not yet acknowledged by each group, where the broker can tell (Kafka, SQLite). A line that "
                "only rises is a consumer that is too slow or gone.",
                "short",
                # Every member of a group tells the lag of the whole group.
                Query(f"max by (topic, group) ({series(m.BROKER_LAG)})", "{{topic}} · {{group}}"),
            ),
            graph(
                "Images without an answer",
                "Stream images of the last hour in the lake that no prediction came for, and images that no label came "
                "for yet.",
                "short",
                Query(f"max({series(m.SERVE_UNANSWERED)})", "without an answer"),
                Query(f"max({series(m.SERVE_WAITING)})", "without a label"),
            ),
            graph(
                "Messages by topic",
                "Deliveries handed to services, and messages they made durable.",
                "cps",
                Query(rate(m.BROKER_RECEIVED, by="topic"), "{{topic}} in"),
                Query(rate(m.BROKER_SENT, by="topic"), "{{topic}} out"),
            ),
            graph(
                "Bytes by topic",
                "Bodies of the same messages.",
                "Bps",
                Query(rate(m.BROKER_RECEIVED_BYTES, by="topic"), "{{topic}} in"),
                Query(rate(m.BROKER_SENT_BYTES, by="topic"), "{{topic}} out"),
            ),
            graph(
                "Rows into the lake",
                "What collect commits, by table. Flat while answers flow means collect is behind or blocked.",
                "rowsps",
                Query(rate(m.COLLECT_ROWS, by="table"), "{{table}}"),
            ),
            graph(
                "Commit to the lake, p95",
                "Time of one commit. A slow store delays labels and the counts that fine-tuning waits for, never "
                "answers.",
                "s",
                Query(quantile(0.95, m.COLLECT_COMMIT_SECONDS, by="table"), "{{table}}"),
            ),
        ],
    )


def _trouble() -> Row:
    window = "$__rate_interval"
    return Row(
        "Dead letters",
        [
            graph(
                "Dead letters by topic and reason",
                "Messages given up: `rejected` by a service, or after too many `retries`. They keep payload and "
                "reason: `hemline dead list`, `hemline dead replay`.",
                "short",
                Query(
                    f"sum by (topic, reason) (increase({series(m.BROKER_DEAD)}[{window}]))",
                    "{{topic}} · {{reason}}",
                ),
                style="bars",
                width=8,
            ),
            graph(
                "Why images and messages were refused",
                "Images that cannot be decoded or whose answer cannot be sent, and messages that the lake does not "
                "take.",
                "short",
                Query(
                    f"sum by (reason) (increase({series(m.INFERENCE_REJECTED)}[{window}]))",
                    "image {{reason}}",
                ),
                Query(
                    f"sum by (topic, reason) (increase({series(m.COLLECT_REJECTED)}[{window}]))",
                    "{{topic}} · {{reason}}",
                ),
                style="bars",
                width=8,
            ),
            graph(
                "Redeliveries",
                "Deliveries after the first attempt: a consumer died or asked for them again. Harmless, everything is "
                "keyed by image id; many of them mean crashes or time-outs.",
                "short",
                Query(
                    f"sum by (topic) (increase({series(m.BROKER_REDELIVERED)}[{window}]))",
                    "{{topic}}",
                ),
                style="bars",
                width=8,
            ),
        ],
    )


def _swaps() -> Row:
    return Row(
        "Model swaps",
        [
            graph(
                "Rollout revision",
                "The revision that the lifecycle has written and those that inference has taken up. They part for "
                "seconds at a change; longer means a pod that does not follow.",
                "short",
                Query(f"max({series(m.LIFECYCLE_REVISION)})", "written"),
                Query(f"min({series(m.INFERENCE_REVISION)})", "slowest pod"),
                Query(f"max({series(m.INFERENCE_REVISION)})", "fastest pod"),
                style="steps",
                width=8,
                calculations=("lastNotNull",),
            ),
            graph(
                "Swap time",
                "From seeing a rollout document to serving it: loading, verifying and warming up beside what serves. "
                "No image waits for it.",
                "s",
                Query(mean(m.INFERENCE_SWAP_SECONDS), "mean"),
                Query(quantile(0.95, m.INFERENCE_SWAP_SECONDS), "p95"),
                width=8,
            ),
            graph(
                "Versions refused",
                "Versions that inference would not serve (missing, damaged, wrong answers, failing): the one before "
                "keeps answering.",
                "short",
                Query(
                    f"sum by (reason) (increase({series(m.INFERENCE_REFUSED)}[$__rate_interval]))",
                    "{{reason}}",
                ),
                style="bars",
                width=8,
            ),
        ],
    )


def _client() -> Row:
    return Row(
        "Simulated client",
        [
            graph(
                "Sent and answered",
                "The simulator's books: the two lines lie on each other when every image is answered.",
                "ops",
                Query(rate(m.SIM_SENT), "sent"),
                Query(rate(m.SIM_ANSWERED), "answered"),
                Query(rate(m.SIM_LABELS), "labels sent"),
                Query(rate(m.SIM_REPEATED), "answers repeated"),
                width=8,
            ),
            graph(
                "Latency seen by the client",
                "From sending an image to reading its answer.",
                "s",
                Query(quantile(0.5, m.SIM_LATENCY), "p50"),
                Query(quantile(0.99, m.SIM_LATENCY), "p99"),
                width=8,
            ),
            graph(
                "Sent and not answered",
                "Images the client still waits for, in its own books.",
                "short",
                Query(f"sum({series(m.SIM_SENT)}) - sum({series(m.SIM_ANSWERED)})", "open"),
                width=8,
            ),
        ],
    )
