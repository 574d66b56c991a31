"""The dashboard *Fleet*: the processes behind the classifiers, trainers at work, sample streams, the operator."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from hemline_api import metrics as m
from hemline_observability._board import Row, board
from hemline_observability._panels import Query, figure, graph, listing, thresholds
from hemline_observability._promql import EVERY_CLASSIFIER, quantile, rate, series

__all__ = ["fleet"]

_HERE = '{namespace="$namespace",classifier="$classifier"}'
_OF = "by (namespace, classifier)"


def fleet() -> Dashboard:
    """Pods, memory, trainer progress, sample stream stalls, the operator."""
    return board(
        "hemline-fleet",
        "Hemline / Fleet",
        "Every classifier at a glance, and the processes of the one that is chosen.",
        [_overview(), _processes(), _trainers(), _streams(), _operator()],
    )


def _all(metric: m.Metric, *matchers: str) -> str:
    return series(metric, *matchers, within=EVERY_CLASSIFIER)


def _overview() -> Row:
    answers = f"sum {_OF} (rate({_all(m.INFERENCE_PREDICTIONS)}[5m]))"
    live = f'count_values {_OF} ("version", {_all(m.LIFECYCLE_LIVE)})'
    accuracy = (
        f"max {_OF} (max by (namespace, classifier, version) ({_all(m.SERVE_LIVE_ACCURACY)}) "
        f"and on (namespace, classifier, version) {live})"
    )
    return Row(
        "Every classifier",
        [
            listing(
                "Classifiers",
                "One row for each classifier that Prometheus sees, whatever is chosen above.",
                (Query(f"max {_OF} ({_all(m.LIFECYCLE_LIVE)})", "Live version"), "none"),
                (Query(answers, "Answers"), "ops"),
                (Query(f"max {_OF} ({_all(m.SERVE_UNANSWERED)})", "Waiting"), "short"),
                (Query(accuracy, "Live accuracy"), "percentunit"),
                (Query(f"max {_OF} ({_all(m.LIFECYCLE_FRESH)})", "Fresh labels"), "short"),
                (Query(f"max {_OF} ({_all(m.LIFECYCLE_DUE_AT)})", "Due at"), "short"),
                (Query(f"max {_OF} ({_all(m.LIFECYCLE_RUNNING)})", "Fine-tunes running"), "short"),
                (Query(f"count {_OF} ({_all(m.INFERENCE_REVISION)})", "Inference pods"), "short"),
                key=("namespace", "classifier"),
            )
        ],
    )


def _processes() -> Row:
    return Row(
        "Processes of $namespace/$classifier",
        [
            graph(
                "Processes by component",
                "Processes that Prometheus reaches. A gap is a pod that was down, or a scrape that failed.",
                "short",
                Query(f"sum by (component) (up{_HERE})", "{{component}}"),
                style="steps",
                width=8,
                calculations=("min", "lastNotNull"),
            ),
            graph(
                "Memory by process",
                "Resident memory. Compare with the container's limit; inference is bounded by batch size and prefetch, "
                "serve by its cache.",
                "bytes",
                Query(
                    f"process_resident_memory_bytes{_HERE}",
                    "{{pod}}",
                ),
                width=8,
                calculations=("max", "lastNotNull"),
            ),
            graph(
                "CPU by process",
                "Cores in use. A process at its limit of cores is the bottleneck; one at a tenth is not.",
                "short",
                Query(
                    f"rate(process_cpu_seconds_total{_HERE}[$__rate_interval])",
                    "{{pod}}",
                ),
                width=8,
                calculations=("mean", "max"),
            ),
            graph(
                "Starts",
                "Processes that began anew under the same address, and what `hemline up` had to start again. Nothing "
                "is lost by it; many in a row mean a crash loop.",
                "short",
                Query(
                    f"sum by (component) (changes(process_start_time_seconds{_HERE}[$__rate_interval]))",
                    "{{component}} restarted",
                ),
                Query(
                    f"sum by (process) (increase({series(m.LIFECYCLE_RESTARTS)}[$__rate_interval]))",
                    "{{process}} died",
                ),
                style="bars",
                calculations=("sum",),
            ),
            graph(
                "Open files by process",
                "Sockets and files. A line that only rises is a leak.",
                "short",
                Query(f"process_open_fds{_HERE}", "{{pod}}"),
                calculations=("max", "lastNotNull"),
            ),
        ],
    )


def _trainers() -> Row:
    return Row(
        "Trainer",
        [
            graph(
                "Progress",
                "Steps done of those planned. Flat while a run is under way means it is stuck or waits for samples.",
                "percentunit",
                Query(
                    f"{series(m.TRAINER_STEP)} / ({series(m.TRAINER_STEPS)} > 0)",
                    "{{pod}}",
                ),
                highest=1,
                width=8,
                calculations=("lastNotNull",),
            ),
            graph(
                "Loss",
                "Training loss, smoothed over about twenty steps. It should fall; what counts is the gate's verdict.",
                "none",
                Query(series(m.TRAINER_LOSS), "{{pod}}"),
                lowest=None,
                width=8,
                calculations=("min", "lastNotNull"),
            ),
            graph(
                "Waiting for samples",
                "Share of the time that training waited for its sample stream. Above a tenth an expensive GPU waits "
                "for cheap CPUs: more `serve` pods or workers.",
                "percentunit",
                Query(
                    f"rate({series(m.TRAINER_STREAM_WAIT)}[$__rate_interval])",
                    "{{pod}}",
                ),
                limits=thresholds((None, "transparent"), (0.1, "orange")),
                width=8,
            ),
        ],
    )


def _streams() -> Row:
    return Row(
        "Sample streams",
        [
            graph(
                "Samples streamed",
                "Samples a second to trainers and to other clients, by gRPC service.",
                "cps",
                Query(rate(m.SERVE_SAMPLES, by="service"), "{{service}}"),
                width=6,
            ),
            graph(
                "Bytes streamed",
                "The same in bytes of images.",
                "Bps",
                Query(rate(m.SERVE_BYTES, by="service"), "{{service}}"),
                width=6,
            ),
            graph(
                "Open streams",
                "Streams open now. At the limit of a server the next client is told to ask another.",
                "short",
                Query(f"sum({series(m.SERVE_STREAMS)})", "streams"),
                width=6,
            ),
            graph(
                "Stalls",
                "Seconds a second that streams waited for data to be read or decoded, all streams together: near the "
                "number of open streams the servers are the bottleneck.",
                "short",
                Query(rate(m.SERVE_STALL_SECONDS), "stalled"),
                width=6,
            ),
        ],
    )


def _operator() -> Row:
    every = EVERY_CLASSIFIER
    errors = rate(m.OPERATOR_RECONCILES, 'outcome="error"', within=every)
    return Row(
        "Operator",
        [
            figure(
                "Classifiers overdue",
                "Classifiers whose look is late. More than 0 for long: the operator cannot keep up.",
                "short",
                Query(f"max({_all(m.OPERATOR_QUEUE)})", "overdue"),
                limits=thresholds((None, "green"), (1, "orange"), (10, "red")),
                width=6,
                empty="no operator",
            ),
            figure(
                "Oldest successful look",
                "The classifier that was not looked at with success for the longest time.",
                "s",
                Query(f"time() - min({_all(m.OPERATOR_LAST_SUCCESS)})", "age"),
                limits=thresholds((None, "green"), (600, "orange"), (900, "red")),
                width=6,
                empty="no operator",
            ),
            figure(
                "Looks that fail",
                "Share of looks that ended with an error of the API.",
                "percentunit",
                Query(f"{errors} / {rate(m.OPERATOR_RECONCILES, within=every)}", "errors"),
                limits=thresholds((None, "green"), (0.01, "orange"), (0.1, "red")),
                width=6,
                empty="no operator",
            ),
            figure(
                "Slowest watch",
                "How long a watch of the API has been behind. Its liveness probe fails at 90 s.",
                "s",
                Query(f"max({_all(m.OPERATOR_WATCH_BEHIND)})", "behind"),
                limits=thresholds((None, "green"), (30, "orange"), (90, "red")),
                width=6,
                empty="no operator",
            ),
            graph(
                "Looks by outcome",
                "Looks at classifiers. A conflict is an observation that was too old: the next one is on its way.",
                "ops",
                Query(rate(m.OPERATOR_RECONCILES, by="outcome", within=every), "{{outcome}}"),
                style="stack",
                width=8,
            ),
            graph(
                "Time of a look",
                "How long one look takes, questions to pods included.",
                "s",
                Query(quantile(0.5, m.OPERATOR_RECONCILE_SECONDS, within=every), "p50"),
                Query(quantile(0.95, m.OPERATOR_RECONCILE_SECONDS, within=every), "p95"),
                width=8,
            ),
            graph(
                "Writes to the API",
                "By kind and how they ended. At rest there are none: steady writes mean two writers fight.",
                "ops",
                Query(
                    rate(m.OPERATOR_WRITES, by="kind, outcome", within=every),
                    "{{kind}} {{outcome}}",
                ),
                style="stack",
                width=8,
            ),
        ],
    )
