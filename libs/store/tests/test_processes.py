"""Several real processes on the same tables, some of them killed."""

import subprocess
import sys

import pytest

from hemline_store import Lake
from hemline_store.tables import Samples

WRITER = """
import sys
from datetime import UTC, datetime
from hemline_store import Lake
from hemline_store.tables import ImageRow, LabelRow, Samples

uri, name, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
samples = Samples.open(Lake(uri, "mnist"))
print("open", flush=True)
sys.stdin.readline()
now = datetime.now(UTC)
for commit in range(commits):
    ids = [f"{name}-{commit}-{n}" for n in range(20)]
    samples.append_images([ImageRow(i, b"x" * 200, "image/png", now) for i in ids])
    samples.append_labels([LabelRow(i, 1, None, now, "e", now) for i in ids])
    print(commit, flush=True)  # only now may the messages be acknowledged
"""

COMPACTOR = """
import sys
from datetime import timedelta
from hemline_store import Lake, Unavailable
from hemline_store.tables import Samples

samples = Samples.open(Lake(sys.argv[1], "mnist"))
print("open", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    try:
        samples.compact()
        samples.clean(timedelta(seconds=30))
    except Unavailable as error:
        print(error, file=sys.stderr)
print("done", flush=True)
"""

CLASSES = ("zero", "one")


class Running:
    """A process that waits for the word to begin."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def opened(self) -> None:
        assert self.process.stdout.readline() == "open\n"

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        output, _ = self.process.communicate(timeout=150)
        assert self.process.returncode == 0
        return output.split()


@pytest.fixture
def start():
    running: list[Running] = []

    def make(code: str, *arguments: object) -> Running:
        running.append(Running(code, *arguments))
        return running[-1]

    yield make
    for one in running:
        one.process.kill()
        one.process.communicate(timeout=60)


def test_processes_that_append_at_once_lose_nothing(tmp_path, start):
    uri = str(tmp_path / "lake")
    # All of them also make the tables at once.
    writers = [start(WRITER, uri, f"w{n}", 15) for n in range(3)]
    for writer in writers:
        writer.opened()
    compactor = start(COMPACTOR, uri, 6)
    compactor.opened()
    for one in (*writers, compactor):
        one.go()
    for one in (*writers, compactor):
        one.finish()
    samples = Samples.open(Lake(uri, "mnist"))
    summary = samples.summary(CLASSES)
    assert (summary.images, summary.labelled) == (900, 900)
    index = samples.index(samples.snapshot(), CLASSES)
    assert len(set(index.id.tolist())) == 900
    # Lost nothing, and wrote nothing twice.
    (count,) = samples.query("SELECT count(*) AS n FROM images", classes=CLASSES)["n"].to_pylist()
    assert count == 900


def test_a_killed_writer_leaves_whole_commits(tmp_path, start):
    uri = str(tmp_path / "lake")
    acknowledged: set[str] = set()
    for kill in range(4):
        writer = start(WRITER, uri, f"k{kill}", 10_000)
        writer.opened()
        writer.go()
        # Killed somewhere after the commit that was acknowledged last.
        for _ in range(2 + 5 * kill):
            commit = writer.process.stdout.readline().strip()
            acknowledged.add(f"k{kill}-{commit}")
        writer.process.kill()
        rest, _ = writer.process.communicate(timeout=60)
        acknowledged.update(f"k{kill}-{commit}" for commit in rest.split())
    samples = Samples.open(Lake(uri, "mnist"))
    for table in ("images", "labels"):
        found = samples.query(
            f"SELECT regexp_replace(id, '-[0-9]+$', '') AS part, count(*) AS n FROM {table} GROUP BY 1",
            classes=CLASSES,
        ).to_pylist()
        assert {row["n"] for row in found} == {20}
        parts = {row["part"] for row in found}
        assert acknowledged <= parts
        # At most the one commit that was being made when it was killed is there unacknowledged.
        assert len(parts - acknowledged) <= 4
    # The next run goes on with the same tables.
    again = start(WRITER, uri, "again", 1)
    again.opened()
    again.go()
    assert again.finish() == ["0"]
    assert samples.summary(CLASSES).waiting_for_image == 0
