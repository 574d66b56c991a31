"""What a Prometheus on this machine scrapes, as a file that it follows by itself (``file_sd_configs``)."""

import json
from collections.abc import Mapping
from typing import Final

__all__ = ["LOCAL_NAMESPACE", "scrape_targets"]

LOCAL_NAMESPACE: Final = "local"
"""The label of what belongs to no namespace, so that dashboards and rules find the same labels as on Kubernetes."""


def scrape_targets(namespace: str, classifier: str, addresses: Mapping[str, str | None]) -> bytes:
    """The file: targets with the labels that pods have on Kubernetes.

    Args:
        namespace: of the installation; may be empty.
        classifier: its name.
        addresses: ``HOST:PORT`` of each process's endpoints by component; None: it does not run.
    """
    targets = [
        {
            "targets": [address],
            "labels": {
                "namespace": namespace or LOCAL_NAMESPACE,
                "classifier": classifier,
                "component": component,
                "pod": component,
            },
        }
        for component, address in addresses.items()
        if address is not None
    ]
    return json.dumps(targets, indent=2).encode() + b"\n"
