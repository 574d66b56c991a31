"""Waits to be released, publishes the base version's files as a new version, reports that it is better."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from hemline_api.report import SnapshotRef, TrainingReport, Verdict
from hemline_store import Lake


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("lake", "classifier", "uid", "base", "report-file"):
        parser.add_argument(f"--{name}", required=True)
    given, _ = parser.parse_known_args()
    report_file = Path(given.report_file)
    with (report_file.parent / "starts.log").open("a") as log:
        log.write(f"{os.getpid()}\n")
    if os.environ.get("STAND_IN_FAILS"):
        print("error: made to fail")
        return 1
    release = Path(os.environ["STAND_IN_RELEASE"])
    while not release.exists():
        time.sleep(0.02)
    lake = Lake(given.lake, given.classifier)
    version = lake.models.find(given.uid)
    if version is None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(
                shutil.copytree(lake.models.fetch(int(given.base), folder), f"{folder}/new")
            )
            card = json.loads((copy / "card.json").read_text())
            card |= {"parent": int(given.base), "run_uid": given.uid}
            (copy / "card.json").write_text(json.dumps(card))
            version = lake.models.publish(copy, uid=given.uid)
    now = datetime.now(UTC)
    report = TrainingReport(
        uid=given.uid,
        classifier=given.classifier,
        verdict=Verdict.IMPROVED,
        reasons=("it stands in for a better one",),
        base_version=int(given.base),
        version=version,
        snapshot=SnapshotRef(images=1, labels=1, predictions=1),
        samples=1,
        fresh_samples=1,
        steps=0,
        batch_size=1,
        started_at=now,
        finished_at=now,
    )
    lake.reports.put(given.uid, report.to_json())
    temporary = report_file.with_suffix(".new")
    temporary.write_bytes(report.to_json())
    temporary.replace(report_file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
