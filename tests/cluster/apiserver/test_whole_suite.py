"""The audit log of everything above. Named so that it comes last."""

import json

import pytest

from hemline_operator.testing.cluster import Cluster, audited, denied, granted, uses

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(300, func_only=True)]

PROVOKED = {("", "secrets", "list")}
"""What test_role.py asks for to see it denied."""


def test_the_operator_never_asked_for_what_its_role_lacks(cluster: Cluster) -> None:
    if cluster.folder is None:
        pytest.skip("the API server is not the tests' own: its audit log cannot be read")
    entries = audited(cluster.folder)
    # All that is known of them: whose right it was, when, and whether the account or the right was missing.
    refused = [one for one in entries if denied([one]) - PROVOKED]
    assert not refused, json.dumps(refused, indent=1)
    assert uses(entries) - granted() - PROVOKED == set()
