"""Whether a child is as it should be."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hemline_operator.plan._names import DESIRED_ANNOTATION

__all__ = ["contains", "sealed"]


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a digest of itself as an annotation.

    A field that is no longer wanted is in no manifest, so only the digest tells that it must go.
    """
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), DESIRED_ANNOTATION: digest}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}


def contains(observed: object, desired: object) -> bool:
    """Whether everything desired is there. What the server or another manager added does not matter.

    Lists of objects are compared as sets, since the server merges them by their keys; other lists as they are.
    """
    if isinstance(desired, Mapping):
        return isinstance(observed, Mapping) and all(
            key in observed and contains(observed[key], value) for key, value in desired.items()
        )
    if isinstance(desired, (list, tuple)):
        if not isinstance(observed, (list, tuple)):
            return False
        if all(isinstance(item, Mapping) for item in desired):
            return all(any(contains(one, item) for one in observed) for item in desired)
        return list(observed) == list(desired)
    return observed == desired
