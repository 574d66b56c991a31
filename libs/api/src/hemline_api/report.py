"""What a training run found: written by the trainer, read by whoever decides what serves."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from hemline_api._errors import BadReport, first_problem

__all__ = ["DIGEST_BYTES", "Evaluation", "SnapshotRef", "TrainingReport", "Verdict"]

DIGEST_BYTES: Final = 4096
"""What a container's termination message can hold (Kubernetes cuts it there)."""


class Verdict(StrEnum):
    """The gate's answer, also used as a condition's reason."""

    IMPROVED = "Improved"
    """Better on the newest labels, no worse than allowed on the frozen set: may go live."""
    NOT_IMPROVED = "NotImproved"
    """No significant gain on the newest labels."""
    REGRESSED = "RegressedMetric"
    """Worse than allowed on the frozen set, on the newest labels, or for one class."""
    NOT_ENOUGH_DATA = "NotEnoughData"
    """Too few held-out samples to judge by."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class SnapshotRef(_Model):
    """The three table versions that a run read."""

    images: int = Field(ge=0)
    labels: int = Field(ge=0)
    predictions: int = Field(ge=0)


class Evaluation(_Model):
    """Candidate and incumbent on the same held-out samples (accuracies as fractions of ``samples``)."""

    name: Annotated[str, Field(max_length=64)] = Field(description="frozen, fresh or test.")
    samples: int = Field(ge=0)
    candidate_accuracy: float = Field(ge=0.0, le=1.0)
    incumbent_accuracy: float = Field(ge=0.0, le=1.0)
    only_candidate_right: int = Field(default=0, ge=0, description="McNemar's b.")
    only_incumbent_right: int = Field(default=0, ge=0, description="McNemar's c.")
    p_value: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Exact McNemar, two-sided."
    )
    worst_class: Annotated[str, Field(max_length=256)] | None = Field(default=None)
    worst_class_change: float | None = Field(
        default=None, description="Change of that class's recall, candidate minus incumbent."
    )


class TrainingReport(_Model):
    """One fine-tuning run from snapshot to verdict."""

    uid: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="The FineTune's uid."
    )
    classifier: Annotated[str, Field(min_length=1, max_length=128)]
    verdict: Verdict
    reasons: tuple[Annotated[str, Field(max_length=512)], ...] = Field(
        default=(), description="Why, in words, the deciding one first."
    )
    base_version: int = Field(
        ge=1, description="The version it started from and was judged against."
    )
    version: int | None = Field(default=None, ge=1, description="The version it published, if any.")
    snapshot: SnapshotRef
    samples: int = Field(ge=0, description="Labelled training samples in the snapshot.")
    fresh_samples: int = Field(
        ge=0, description="Those of them that fill the new half of each batch."
    )
    steps: int = Field(ge=0)
    batch_size: int = Field(ge=0)
    evaluations: tuple[Evaluation, ...] = Field(default=())
    temperature: float | None = Field(default=None, gt=0.0)
    started_at: AwareDatetime
    finished_at: AwareDatetime
    code_version: Annotated[str, Field(max_length=64)] = ""

    @property
    def promotable(self) -> bool:
        """Whether a version was published and the gate lets it go live."""
        return self.version is not None and self.verdict is Verdict.IMPROVED

    def to_json(self) -> bytes:
        """The whole report."""
        return self.model_dump_json(exclude_none=True).encode()

    def digest(self) -> bytes:
        """The report cut to fit a termination message: reasons go first, then evaluations."""
        report = self
        while len(data := report.to_json()) >= DIGEST_BYTES and (
            report.reasons or report.evaluations
        ):
            if len(report.reasons) > 1 or not report.evaluations:
                report = report.model_copy(update={"reasons": report.reasons[:-1]})
            else:
                report = report.model_copy(update={"evaluations": report.evaluations[:-1]})
        return data

    @classmethod
    def from_json(cls, data: bytes) -> "TrainingReport":
        """Read a report or its digest.

        Raises:
            BadReport: it is no JSON, or a field is missing or out of range.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadReport(f"no training report: {first_problem(error)}") from error
