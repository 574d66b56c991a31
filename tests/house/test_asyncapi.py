"""The AsyncAPI document of the topics is valid for the project's own parser, which refuses a broken one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_VALIDATE = ROOT / "tests" / "servers" / "asyncapi" / "validate.sh"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_parser_takes_the_document_and_refuses_a_broken_one(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        reason = "no npm for the AsyncAPI parser (tests/servers/install.sh installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    document = ROOT / "docs" / "asyncapi.yaml"
    good = subprocess.run([_VALIDATE, document], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text(document.read_text().replace("action: receive", "action: eat"))
    bad = subprocess.run([_VALIDATE, broken], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "operations.classify.action" in bad.stderr
