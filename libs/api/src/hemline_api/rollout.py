"""The rollout document: which model version serves. One writer, many readers."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hemline_api._errors import BadRollout, first_problem
from hemline_api.hashing import CANARY_SALT, unit_hash

__all__ = ["Canary", "Rollout"]


class Canary(BaseModel):
    """A version on trial: it answers a fixed share of the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, description="The version on trial.")
    fraction: float = Field(gt=0.0, lt=1.0, description="Share of the images it answers.")


class Rollout(BaseModel):
    """What serves now. ``revision`` grows with every change, so that readers can say which one they have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: int = Field(ge=1, description="Grows by one with every change.")
    stable: int = Field(ge=1, description="The version that answers.")
    canary: Canary | None = Field(default=None, description="A version on trial beside it.")

    @model_validator(mode="after")
    def _canary_differs(self) -> "Rollout":
        if self.canary and self.canary.version == self.stable:
            raise ValueError(f"version {self.stable} is both stable and canary, expected two")
        return self

    def version_for(self, image_id: str) -> int:
        """The version that answers this image: the same one at every delivery under this document."""
        if self.canary and unit_hash(CANARY_SALT, image_id) < self.canary.fraction:
            return self.canary.version
        return self.stable

    def versions(self) -> tuple[int, ...]:
        """Every version that must be loaded, the stable one first."""
        return (self.stable, self.canary.version) if self.canary else (self.stable,)

    def to_json(self) -> bytes:
        """The document as it is stored."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Rollout":
        """Read a document.

        Raises:
            BadRollout: it is no JSON, misses a field, has one too many, or contradicts itself.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadRollout(f"no rollout document: {first_problem(error)}") from error
