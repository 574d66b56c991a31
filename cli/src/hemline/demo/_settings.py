"""What the demo is made of."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DemoSettings"]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """One demo."""

    state: Path
    """Directory of `hemline up`, and of all that the demo leaves behind."""
    broker: str | None = None
    """URL of the broker; None: the embedded one."""
    data: str = "fashion-mnist-sample"
    """Data set that is streamed."""
    rate: float = 20.0
    """Images per second."""
    label_delay: float = 3.0
    """Mean seconds from an image to its label."""
    drifts: tuple[str, ...] = ("inversion@20s",)
    """One hard drift."""
    every: int = 1000
    """Labelled samples that make a fine-tune due."""
    steps: int = 200
    """Training steps of a fine-tune."""
    seconds: float = 300.0
    """The stream ends after so long, if a new version has gone live by then."""
    patience: float = 600.0
    """Seconds that are added at most on a machine where none has."""
    settle: float = 20.0
    """Seconds of stream after the last fine-tune that the demo waits for, so that its version is seen at work."""
    seed: int = 0
    """Reproduces the stream."""
    classifier: str = "mnist"
    namespace: str = ""
    """Prefix of the topics: one of its own on a broker that others share."""

    @property
    def books(self) -> Path:
        """The simulator's books."""
        return self.state / "books.json"

    @property
    def logs(self) -> Path:
        """Where the demo's own children log."""
        return self.state / "logs"
