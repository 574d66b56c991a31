"""The table of every metric Hemline exports: ``hemline_<component>_<what>_<unit>``.

Labels are bounded sets (class, version, topic, reason, ...), never an id. A metric that no dashboard panel and no
alert uses is removed here.
"""

from dataclasses import dataclass
from typing import Final, Literal

from hemline_api.report import Verdict

__all__ = ["FINE_TUNE_ENDS", "TABLE", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DELAY_BUCKETS: Final = (1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
CONFIDENCE_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's exported name ends in ``_total``, as ``prometheus_client`` appends it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus has it."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


# Messaging, seen by any service through the broker library's observer.
BROKER_SENT = Metric(
    "hemline_broker_sent_messages", "counter", "Messages made durable.", ("topic",)
)
BROKER_SENT_BYTES = Metric(
    "hemline_broker_sent_bytes", "counter", "Bodies made durable, in bytes.", ("topic",)
)
BROKER_RECEIVED = Metric(
    "hemline_broker_received_messages", "counter", "Deliveries handed to handlers.", ("topic",)
)
BROKER_RECEIVED_BYTES = Metric(
    "hemline_broker_received_bytes", "counter", "Bodies handed to handlers, in bytes.", ("topic",)
)
BROKER_REDELIVERED = Metric(
    "hemline_broker_redelivered_messages",
    "counter",
    "Deliveries after the first attempt.",
    ("topic",),
)
BROKER_DEAD = Metric(
    "hemline_broker_dead_messages",
    "counter",
    "Messages sent to a dead-letter topic.",
    ("topic", "reason"),
)
BROKER_LAG = Metric(
    "hemline_broker_lag_messages",
    "gauge",
    "Messages of a group not yet acknowledged.",
    ("topic", "group"),
)

# Inference.
INFERENCE_PREDICTIONS = Metric(
    "hemline_inference_predictions", "counter", "Answers published.", ("version", "label")
)
INFERENCE_REJECTED = Metric(
    "hemline_inference_rejected_images",
    "counter",
    "Images sent to the dead-letter topic.",
    ("reason",),
)
INFERENCE_LATENCY = Metric(
    "hemline_inference_latency_seconds",
    "histogram",
    "From taking an image to its answer being durable.",
    (),
    LATENCY_BUCKETS,
)
INFERENCE_ANSWER_AGE = Metric(
    "hemline_inference_answer_age_seconds",
    "histogram",
    "From an image's CloudEvents time, set by its sender, to its answer being durable.",
    (),
    LATENCY_BUCKETS,
)
INFERENCE_BATCH = Metric(
    "hemline_inference_batch_images",
    "histogram",
    "Images in one run of the engine.",
    (),
    BATCH_BUCKETS,
)
INFERENCE_CONFIDENCE = Metric(
    "hemline_inference_confidence_ratio",
    "histogram",
    "Calibrated confidence of answers.",
    ("version",),
    CONFIDENCE_BUCKETS,
)
INFERENCE_SWAP_SECONDS = Metric(
    "hemline_inference_swap_seconds",
    "histogram",
    "From seeing a rollout document to serving it.",
    (),
    LATENCY_BUCKETS,
)
INFERENCE_REVISION = Metric(
    "hemline_inference_revision_number", "gauge", "Revision of the rollout document in use."
)
INFERENCE_MODEL_CREATED = Metric(
    "hemline_inference_model_created_seconds",
    "gauge",
    "Unix time at which each version that serves was made, by role: stable or canary.",
    ("version", "role"),
)
INFERENCE_REFUSED = Metric(
    "hemline_inference_refused_versions",
    "counter",
    "Versions that could not be loaded.",
    ("reason",),
)

# Samples.
COLLECT_ROWS = Metric("hemline_collect_rows", "counter", "Rows committed to the lake.", ("table",))
COLLECT_COMMIT_SECONDS = Metric(
    "hemline_collect_commit_seconds",
    "histogram",
    "Time of one commit to the lake.",
    ("table",),
    LATENCY_BUCKETS,
)
COLLECT_LABEL_DELAY = Metric(
    "hemline_collect_label_delay_seconds",
    "histogram",
    "From an image's arrival to its label's, where both are known.",
    (),
    DELAY_BUCKETS,
)
COLLECT_REJECTED = Metric(
    "hemline_collect_rejected_messages",
    "counter",
    "Messages sent to the dead-letter topic.",
    ("topic", "reason"),
)
SERVE_SAMPLES = Metric(
    "hemline_serve_samples", "counter", "Samples streamed to trainers.", ("service",)
)
SERVE_BYTES = Metric(
    "hemline_serve_bytes", "counter", "Image bytes streamed to trainers.", ("service",)
)
SERVE_STREAMS = Metric("hemline_serve_open_streams", "gauge", "Streams open now.")
SERVE_STALL_SECONDS = Metric(
    "hemline_serve_stall_seconds",
    "counter",
    "Time that streams waited for data to be read or decoded.",
)
SERVE_LABELLED = Metric(
    "hemline_serve_labelled_samples", "gauge", "Labelled samples in the lake.", ("origin",)
)
SERVE_WAITING = Metric(
    "hemline_serve_waiting_images", "gauge", "Stream images without a label yet."
)
SERVE_UNANSWERED = Metric(
    "hemline_serve_unanswered_images",
    "gauge",
    "Stream images of the last hour that are in the lake and not answered: what waits for inference, on any broker.",
)
SERVE_LIVE_ACCURACY = Metric(
    "hemline_serve_live_accuracy_ratio",
    "gauge",
    "Share of right answers among the newest labelled ones.",
    ("version",),
)
SERVE_LIVE_SAMPLES = Metric(
    "hemline_serve_live_accuracy_samples",
    "gauge",
    "Labelled answers that the live accuracy is taken over.",
    ("version",),
)

# Training.
TRAINER_STEP = Metric("hemline_trainer_step_number", "gauge", "Training steps done.")
TRAINER_STEPS = Metric("hemline_trainer_planned_steps", "gauge", "Training steps planned.")
TRAINER_LOSS = Metric("hemline_trainer_loss_ratio", "gauge", "Training loss (nats), smoothed.")
TRAINER_STREAM_WAIT = Metric(
    "hemline_trainer_stream_wait_seconds", "counter", "Time that training waited for samples."
)

# The lifecycle: the operator, which has many classifiers, or `hemline up`, which has one.
_OF = ("namespace", "classifier")
FINE_TUNE_ENDS: Final = (
    *(verdict.value for verdict in Verdict),
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "Failed",
)
"""How a run can end: the gate's verdict, or why there is none; any other reason counts as ``Failed``."""
LIFECYCLE_FINE_TUNES = Metric(
    "hemline_lifecycle_fine_tunes",
    "counter",
    "Fine-tuning runs ended, by the gate's verdict or why there is none.",
    (*_OF, "verdict"),
)
LIFECYCLE_RUNNING = Metric(
    "hemline_lifecycle_running_fine_tunes", "gauge", "Fine-tuning runs under way.", _OF
)
LIFECYCLE_FRESH = Metric(
    "hemline_lifecycle_fresh_samples",
    "gauge",
    "Labelled stream samples since the last attempt.",
    _OF,
)
LIFECYCLE_DUE_AT = Metric(
    "hemline_lifecycle_due_samples",
    "gauge",
    "Labelled stream samples at which the standing policy makes a run; absent where it is off.",
    _OF,
)
LIFECYCLE_REVISION = Metric(
    "hemline_lifecycle_revision_number", "gauge", "Revision of the rollout document written.", _OF
)
LIFECYCLE_LIVE = Metric(
    "hemline_lifecycle_live_version_number", "gauge", "The stable version.", _OF
)
LIFECYCLE_RESTARTS = Metric(
    "hemline_lifecycle_restarts",
    "counter",
    "Processes of `hemline up` started again after they died.",
    (*_OF, "process"),
)

# The operator.
OPERATOR_RECONCILES = Metric(
    "hemline_operator_reconciles",
    "counter",
    "Looks at a classifier, by how they ended.",
    ("outcome",),
)
OPERATOR_RECONCILE_SECONDS = Metric(
    "hemline_operator_reconcile_seconds",
    "histogram",
    "Time of one look at a classifier.",
    (),
    LATENCY_BUCKETS,
)
OPERATOR_QUEUE = Metric(
    "hemline_operator_overdue_classifiers", "gauge", "Classifiers that wait for a look."
)
OPERATOR_WRITES = Metric(
    "hemline_operator_writes",
    "counter",
    "Writes to the Kubernetes API, by kind and how they ended.",
    ("kind", "outcome"),
)
OPERATOR_LAST_SUCCESS = Metric(
    "hemline_operator_last_success_seconds",
    "gauge",
    "Unix time of the last look at a classifier that ended well.",
    ("namespace", "classifier"),
)
OPERATOR_WATCH_BEHIND = Metric(
    "hemline_operator_watch_behind_seconds",
    "gauge",
    "How long a watch has been behind the API server.",
    ("kind",),
)

# The simulated client.
SIM_SENT = Metric("hemline_client_sim_sent_images", "counter", "Images sent.")
SIM_ANSWERED = Metric(
    "hemline_client_sim_answered_images", "counter", "Images answered, each counted once."
)
SIM_LABELS = Metric("hemline_client_sim_sent_labels", "counter", "Labels sent.")
SIM_REPEATED = Metric("hemline_client_sim_repeated_answers", "counter", "Raw repeats of answers.")
SIM_LATENCY = Metric(
    "hemline_client_sim_latency_seconds",
    "histogram",
    "From sending an image to reading its answer.",
    (),
    LATENCY_BUCKETS,
)
SIM_ACCURACY = Metric(
    "hemline_client_sim_accuracy_ratio",
    "gauge",
    "Share of right answers in a moving window.",
    ("version",),
)

TABLE: Final[tuple[Metric, ...]] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Metric)
)
"""Every metric above, in order."""
