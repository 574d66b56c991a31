"""Which loaded model answers which image: pure decisions over immutable values.

What serves is one reference to a ``Serving``. A swap builds a new one beside it and flips the reference between two
batches; weights are never changed in place, so no batch ever sees half of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hemline_api.rollout import Rollout
from hemline_model import Classifier

__all__ = ["Serving", "Slot", "serve"]


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One model version, loaded and warmed up."""

    version: int
    classifier: Classifier


@dataclass(frozen=True, slots=True)
class Serving:
    """A rollout document and the models that answer under it."""

    rollout: Rollout
    stable: Slot
    canary: Slot | None = None

    def slot_for(self, image_id: str) -> Slot:
        """The model for this image: the document decides, and a canary that is not loaded has no share."""
        if self.canary is None or self.rollout.version_for(image_id) != self.canary.version:
            return self.stable
        return self.canary

    def slots(self) -> tuple[Slot, ...]:
        """Every model in use, the stable one first."""
        return (self.stable,) if self.canary is None else (self.stable, self.canary)

    def versions(self) -> tuple[int, ...]:
        """Their versions."""
        return tuple(slot.version for slot in self.slots())


def serve(rollout: Rollout, loaded: Mapping[int, Slot], before: Serving | None) -> Serving | None:
    """What serves under ``rollout`` with the models that could be loaded.

    A stable version that is missing leaves the one before it in place; a canary that is missing answers nothing.
    None when there is nothing that could answer.
    """
    stable = loaded.get(rollout.stable)
    if stable is None:
        if before is None:
            return None
        stable = before.stable
    canary = loaded.get(rollout.canary.version) if rollout.canary else None
    return Serving(rollout, stable, None if canary is stable else canary)
