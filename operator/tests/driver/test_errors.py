"""What an answer of the API server means."""

import pytest

from hemline_operator.kube import (
    Conflict,
    Ending,
    Exists,
    Forbidden,
    KubeError,
    Missing,
    Refused,
    Unreachable,
)
from hemline_operator.kube._errors import error_for

ENDING = {
    "reason": "Forbidden",
    "message": "unable to create new content in namespace shop because it is being terminated",
    "details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, {"reason": "Forbidden"}, Forbidden),
        (403, ENDING, Ending),
        (403, {"details": {"causes": [{"reason": "Other"}]}}, Forbidden),
        (401, {}, Forbidden),
        (404, {}, Missing),
        (409, {"reason": "AlreadyExists"}, Exists),
        (409, {"reason": "Conflict"}, Conflict),
        (422, {}, Refused),
        (429, {}, Unreachable),
        (503, {}, Unreachable),
    ],
)
def test_every_answer_has_its_error(status: int, body: dict, expected: type[KubeError]) -> None:
    error = error_for(status, body, "PATCH /somewhere")
    assert type(error) is expected
    assert str(error).startswith("PATCH /somewhere: ")


def test_a_message_is_cut() -> None:
    assert len(str(error_for(422, {"message": "x" * 10_000}, "POST /"))) < 500
