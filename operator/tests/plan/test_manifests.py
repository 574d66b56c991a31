from pathlib import Path

import pytest

from hemline_operator.manifests import OPTIONAL_RULES, RULES, render

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(render()))
def test_the_generated_manifests_are_current(name: str) -> None:
    assert (ROOT / "k8s" / name).read_text() == render()[name], "run: make generate"


def test_no_rule_holds_a_wildcard_or_a_version() -> None:
    for rule in (*RULES, *OPTIONAL_RULES):
        values = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in values
        assert not any("/" in group for group in rule["apiGroups"])
