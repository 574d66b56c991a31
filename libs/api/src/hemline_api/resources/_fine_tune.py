"""The spec of a ``FineTune``."""

from typing import Annotated

from pydantic import ConfigDict, Field

from hemline_api.resources._base import Mode, Name, Resource, rules
from hemline_api.resources._classifier import GatePolicy, TrainerSpec

__all__ = ["FineTuneResourceSpec"]


class FineTuneResourceSpec(Resource):
    """One bounded run. Everything but ``suspend`` is fixed once applied."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.classifierName == oldSelf.classifierName",
                "classifierName is fixed: apply another FineTune",
            ),
            (
                "self.afterSamples == oldSelf.afterSamples",
                "afterSamples is fixed: apply another FineTune",
            ),
            (
                "has(self.trainer) == has(oldSelf.trainer) && (!has(self.trainer) || self.trainer == oldSelf.trainer)",
                "trainer is fixed: apply another FineTune",
            ),
            (
                "has(self.gate) == has(oldSelf.gate) && (!has(self.gate) || self.gate == oldSelf.gate)",
                "gate is fixed: apply another FineTune",
            ),
        ),
    )

    classifier_name: Name = Field(description="The ImageClassifier in the same namespace.")
    after_samples: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        default=0,
        description="Waits until so many labelled samples have come from the stream since the last attempt.",
    )
    suspend: Mode = Field(
        default=Mode.DISABLED,
        description="Enabled: nothing is started, and a running Job is suspended.",
    )
    trainer: TrainerSpec | None = Field(
        default=None, description="The Job of this run; unset: the classifier's."
    )
    gate: GatePolicy | None = Field(
        default=None, description="What the candidate must hold; unset: the classifier's."
    )
