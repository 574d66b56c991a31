"""What the models of both resources are made of."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Condition",
    "Decimal",
    "Mode",
    "Name",
    "ObjectName",
    "PodSettings",
    "Quantity",
    "Resource",
    "Resources",
    "Status",
    "Toleration",
    "rules",
]

GROUP: Final = "hemline.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

Decimal = Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$", max_length=8)]
"""A fraction from 0 to 1 as a string: Kubernetes' conventions keep floats out of specs."""

Name = Annotated[str, Field(min_length=1, max_length=63)]
"""A DNS label."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
"""The name of another object of the same namespace, or of the cluster."""

Quantity = Annotated[
    str,
    Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$", max_length=32),
]
"""An amount of a resource, as Kubernetes writes it (500m, 2Gi). Quote plain numbers in YAML."""


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules and the messages of their refusals, for a model's or a field's JSON schema."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


class Resource(BaseModel):
    """A part of a spec: what it does not know is refused, so that nothing is ignored in silence."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Status(BaseModel):
    """A part of a status: what a newer operator wrote is left out."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
    )


class Mode(StrEnum):
    """On or off, in the words of Kubernetes' conventions (enums can grow, booleans cannot)."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Resources(Resource):
    """What a container asks for and may use."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default_factory=dict, description="Least amounts, which the scheduler reserves."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default_factory=dict, description="Most amounts."
    )


class Toleration(Resource):
    """A taint that a pod may run under, as in a pod's spec."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        default=None, description="The taint's key; unset with operator Exists: every taint."
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="Exists, or Equal (the default) to the value."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="The taint's value, for Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; unset: every effect."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="How long a NoExecute taint is tolerated; unset: for ever."
    )


class PodSettings(Resource):
    """Where a pod runs and what it may use."""

    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="Container image; unset: the one that the operator was given."
    )
    resources: Resources | None = Field(
        default=None, description="Requests and limits; unset: the operator's for this component."
    )
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)
    ] = Field(default_factory=dict, description="Labels of the nodes that it may run on.")
    tolerations: Annotated[Sequence[Toleration], Field(max_length=64)] = Field(
        default=(), description="Taints that it may run under."
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="Priority class of the pod."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None, description="Runtime class of the pod (GPUs may need one)."
    )


class Condition(Status):
    """A condition as in Kubernetes' API conventions."""

    type: Annotated[str, Field(max_length=316)] = Field(
        description="What it is about, in CamelCase."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(max_length=1024)] = Field(
        description="Why, in one CamelCase word for programs."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(
        default="", description="Why, in words for people."
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that it was taken from."
    )
    last_transition_time: (
        Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None
    ) = Field(default=None, description="When the status last changed.")
