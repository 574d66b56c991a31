"""`hemline-samples upkeep`: the lake is fast and small afterwards, and nothing that anybody needs is gone."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from hemline_store.tables import ImageRow, LabelRow

from .conftest import Place, make_png

COMMITS = 12
CLASSES = [f"class {number}" for number in range(10)]


def upkeep(place: Place, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hemline_samples", "upkeep"]
    where = ["--lake", place.uri, "--classifier", "mnist"]
    return subprocess.run(
        [*command, *where, *options], capture_output=True, text=True, timeout=120, check=False
    )


def test_small_files_become_one_and_what_no_label_came_for_goes(place: Place) -> None:
    samples = place.samples()
    old = datetime.now(UTC) - timedelta(days=40)
    for number in range(COMMITS):
        samples.append_images([ImageRow(f"i-{number}", make_png(number), "image/png", old)])
        samples.append_labels([LabelRow(f"i-{number}", number % 10, None, old, f"e-{number}", old)])
    samples.append_images([ImageRow("nobody", make_png(99), "image/png", old)])
    before = samples.summary(CLASSES)
    kept = upkeep(place)
    assert kept.returncode == 0, kept.stderr
    assert f"{2 * COMMITS + 1} files became" in kept.stderr
    assert place.samples().summary(CLASSES).labelled == before.labelled == COMMITS

    expired = upkeep(place, "--expire-unlabelled", "720")
    assert "1 unlabelled images removed" in expired.stderr
    assert place.samples().summary(CLASSES).labelled == COMMITS


def test_a_lake_that_is_not_there_yet_is_no_failure(place: Place) -> None:
    assert upkeep(place).returncode == 0


def test_what_cannot_be_is_refused_in_one_line(place: Place) -> None:
    refused = upkeep(place, "--keep-versions", "0")
    assert refused.returncode == 2
    assert "--keep-versions" in refused.stderr
    assert "Traceback" not in refused.stderr
