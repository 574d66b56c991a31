"""What can be set, with the reasons for the defaults."""

import os
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Limits", "Settings", "Timing", "default_cache"]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pipeline. Together they bound its memory, whatever arrives."""

    batch_images: int = 256
    """Images in one run of the engine. Larger ones gain no speed and cost memory for good."""

    batch_bytes: int = 32 * _MIB
    """Encoded bytes fetched at once; two of the largest messages allowed."""

    decoded_bytes: int = 32 * _MIB
    """Bytes of one decoded batch: for 1024x1024 RGB it limits a batch to ten images."""

    batches_in_flight: int = 8
    """Batches between the broker and its acknowledgement: one decoding, one waiting, one in the engine, and the rest
    being published, so that a slow commit does not starve the engine."""

    prefetch_images: int = 2048
    """Deliveries the broker's client may hold for us, unacknowledged ones included."""

    prefetch_bytes: int = 96 * _MIB
    """Bytes of the same."""

    alone_images: int = 4
    """A batch of so few images, with nothing else in flight, is decoded on the engine's own thread: handing it from
    thread to thread would take longer than decoding it."""

    alone_bytes: int = 64 * 1024
    """Encoded bytes of such a batch at most."""

    decode_threads: int = 1
    """Decoding an image of 28x28 takes a twentieth of classifying it; more threads pay for photographs."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Periods and deadlines, in seconds."""

    rollout_poll: float = 0.2
    """Between two looks at the rollout file. A stat costs microseconds; a swap should not wait."""

    retry_refused: float = 15.0
    """Until a refused version that the document still names is tried again: the lake may have been repaired."""

    retry_first: float = 0.25
    """Pause before the first repetition of what failed for now; it doubles up to ``retry_most``."""

    retry_most: float = 10.0
    """Longest pause between two repetitions."""

    send: float = 30.0
    """For a batch of predictions to become durable before it is tried again."""

    lag: float = 1.0
    """Between two looks at how much waits on the broker."""

    drain: float = 20.0
    """For what is in flight to be finished after SIGTERM; below the 30 s that Kubernetes gives."""


def default_cache() -> Path:
    """Where fetched model versions are kept: ``$XDG_CACHE_HOME/hemline/models``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hemline" / "models"


@dataclass(frozen=True, slots=True)
class Settings:
    """One inference process."""

    broker: str
    """URL of the broker: ``sqlite:///file``, ``kafka://host:port``."""

    classifier: str
    """Name of the classifier; its topics and its place in the lake follow from it."""

    lake: str
    """URI of the lake that holds the model versions."""

    rollout: Path
    """The rollout document; it need not exist yet."""

    namespace: str = ""
    """Prefix of the topic names, where namespaces share a broker."""

    http: str = "127.0.0.1:0"
    """Address of /metrics, /healthz and /status; port 0 picks a free one."""

    group: str = "inference"
    """Consumer group: processes with the same one share the images."""

    threads: int = 1
    """Threads of the engine."""

    probabilities: bool = False
    """Publish the probability of every class, not only of the best one."""

    console: bool = False
    """Print each prediction as a line on stdout."""

    cache: Path = field(default_factory=default_cache)
    """Folder for fetched model versions; may be shared and may be empty at every start."""

    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
