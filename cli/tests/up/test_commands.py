"""The commands against a running installation."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

IMAGES = Path(__file__).parents[3] / "examples" / "images"


def test_send_prints_class_and_confidence(running) -> None:
    done = running.hemline("send", str(IMAGES / "sandal5.png"))
    assert done.returncode == 0, done.stderr
    line = done.stdout.strip()
    assert "sandal" in line.lower() and "%" in line and "version 1" in line
    assert done.stderr == ""


def test_send_takes_several_images_and_prints_json(running) -> None:
    files = sorted(str(path) for path in IMAGES.glob("*.png"))
    done = running.hemline("send", *files, "--json")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == files
    assert all(0.0 <= answer["confidence"] <= 1.0 for answer in answers)


def test_a_text_file_is_one_clear_line_and_a_dead_letter(running, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not an image\n")
    done = running.hemline("send", str(notes))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"error: {notes}: ")
    identity = done.stderr.rpartition("dead show ")[2].strip(" )\n")
    shown = running.hemline("dead", "show", identity)
    assert shown.returncode == 0, shown.stderr
    assert "mnist.images" in shown.stdout and r"b'not an image\n'" in shown.stdout
    copy = tmp_path / "copy"
    assert running.hemline("dead", "show", identity, "--out", str(copy)).returncode == 0
    assert copy.read_bytes() == notes.read_bytes()
    assert identity in running.hemline("dead", "list").stdout


def test_dead_letters_are_replayed_once(running, tmp_path: Path) -> None:
    notes = tmp_path / "more.txt"
    notes.write_text("still not an image\n")
    assert running.hemline("send", str(notes)).returncode == 1
    letters = running.hemline("dead", "list", "--json").stdout.splitlines()
    identity = json.loads(letters[-1])["id"]
    assert running.hemline("dead", "replay", identity).stdout == "1 sent again\n"

    def copies() -> int:
        lines = running.hemline("dead", "list", "--json").stdout.splitlines()
        return sum(json.loads(line)["id"] == identity for line in lines)

    running.until(lambda: copies() == 2, "second letter of the same image")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["send", "nowhere.png"], 2, "nowhere.png: No such file"),
        (["dead", "show", "unknown"], 1, "no dead letter 'unknown'"),
        (["dead", "replay"], 2, "expected ids"),
        (["query", "select nothing"], 1, "nothing"),
        (["query", "drop table images"], 1, ""),
        (["lake", "expire", "soon"], 2, "received the age 'soon'"),
        (["pin", "77"], 1, "there is no version 77"),
        (["rollback"], 1, "the first that served here"),
    ],
)
def test_bad_input_is_one_line(running, arguments: list[str], code: int, words: str) -> None:
    done = running.hemline(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ") and words in done.stderr


def test_query_answers_in_every_form(running) -> None:
    running.feed(20)
    sql = (
        "select model_version, count(*) as answers, sum(correct) as right from answered group by 1"
    )

    def answers() -> int:
        done = running.hemline("query", sql, "--json")
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return rows[0]["answers"] if rows and rows[0]["right"] is not None else 0

    running.until(lambda: answers() >= 20, "labelled answers in the lake")
    table = running.hemline("query", sql).stdout.splitlines()
    assert table[0].split() == ["model_version", "answers", "right"]
    rows = running.hemline("query", sql, "--csv").stdout.splitlines()
    assert rows[0] == "model_version,answers,right"
    assert rows[1].startswith("1,")


def test_models_lists_what_serves(running) -> None:
    done = running.hemline("models", "--json")
    assert done.returncode == 0, done.stderr
    (only,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (only["version"], only["serves"], only["parent"]) == (1, "live", None)
    assert 0.5 < only["test"] <= 1.0


def test_a_pin_is_followed_and_withdrawn(running) -> None:
    done = running.hemline("pin")
    assert done.returncode == 0, done.stderr
    assert "version 1 serves" in done.stdout
    running.until_event("Pinned")
    assert running.status()["pin"] == 1
    assert '"live, pinned"' in running.hemline("models", "--json").stdout
    assert running.hemline("unpin").returncode == 0
    running.until_event("Unpinned")


def test_the_lakes_upkeep_runs_beside_the_stream(running) -> None:
    for arguments in (["compact"], ["expire", "30d"], ["clean", "7d"]):
        done = running.hemline("lake", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_an_installation_that_never_ran_is_said_so(tmp_path: Path, running) -> None:
    for command in (["send", str(IMAGES / "sandal5.png")], ["models"], ["query", "select 1"]):
        done = running.hemline(*command, "--state", str(tmp_path))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "hemline up" in done.stderr


def test_help_needs_no_heavy_library(running) -> None:
    program = (
        "import sys, runpy; sys.argv = ['hemline', '--help']\n"
        "try: runpy.run_module('hemline', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'lance', 'duckdb', 'grpc', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hemline demo" in done.stdout
