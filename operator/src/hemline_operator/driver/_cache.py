"""What the watches brought: kopf's indices, read as one classifier's view."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hemline_operator.kube import (
    CLASSIFIER,
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    FINE_TUNE,
    JOB,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Kind,
)
from hemline_operator.plan import CLASSIFIER_LABEL, Key

__all__ = ["CHILDREN", "OWN", "SELECTOR", "WATCHED", "Cache", "key_of", "trimmed"]

Manifest = Mapping[str, Any]

OWN: Final = (CLASSIFIER, FINE_TUNE)
CHILDREN: Final = (
    DEPLOYMENT,
    SERVICE,
    CONFIG_MAP,
    VOLUME_CLAIM,
    SERVICE_ACCOUNT,
    CRON_JOB,
)
WATCHED: Final = (*OWN, *CHILDREN, JOB, POD)
SELECTOR: Final = CLASSIFIER_LABEL
"""Of everything but the custom resources, only what carries this label is watched."""


def key_of(kind: Kind, body: Manifest) -> Key | None:
    """The classifier that an object belongs to."""
    meta = body["metadata"]
    if kind == CLASSIFIER:
        name = meta["name"]
    elif kind == FINE_TUNE:
        name = body.get("spec", {}).get("classifierName")
    else:
        name = meta.get("labels", {}).get(CLASSIFIER_LABEL)
    return Key(meta["namespace"], name) if name else None


def trimmed(kind: Kind, body: Manifest) -> Manifest:
    """An object without what nobody reads here. A watch leaves out kind and version where a list gives them."""
    meta = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    kept = {name: body[name] for name in ("spec", "status", "data") if name in body}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **kept} | {
        name: body[name] for name in ("automountServiceAccountToken",) if name in body
    }


@dataclass(slots=True)
class Cache:
    """Objects by kind and classifier. Filled by kopf, whose stores it reads; nothing is copied."""

    indices: Mapping[str, Mapping[Key, Iterable[Manifest]]] = field(default_factory=dict)

    def of(self, kind: Kind, key: Key) -> list[Manifest]:
        """The objects of a kind that belong to a classifier."""
        index = self.indices.get(kind.plural)
        return list(index[key]) if index is not None and key in index else []

    def classifiers(self) -> set[Key]:
        """Every classifier that there is, or that a FineTune names."""
        found = {key for kind in OWN for key in self.indices.get(kind.plural, {})}
        return {key for key in found if key.name}

    def versions(self, kind: Kind) -> dict[str, str]:
        """The resource version of every object of a kind, by its uid."""
        index = self.indices.get(kind.plural, {})
        return {
            body["metadata"]["uid"]: body["metadata"]["resourceVersion"]
            for key in index
            for body in index[key]
        }
