import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from hemline_store import BadModel, CorruptModel, InvalidOption, Lake, ModelStore, UnknownVersion

PUBLISH = """
import sys
from hemline_store import Lake
uri, *pairs = sys.argv[1:]
sys.stdin.readline()
for pair in pairs:
    directory, uid = pair.split("=")
    print(uid, Lake(uri, "mnist").models.publish(directory, uid=uid), flush=True)
"""


def fresh(lake: Lake) -> ModelStore:
    """What another process would see: nothing remembered."""
    return ModelStore(lake.objects)


def test_an_empty_lake_has_no_versions(lake):
    assert lake.models.versions() == []
    assert lake.models.find("any") is None
    with pytest.raises(UnknownVersion, match=r"no model version 1 .* none"):
        lake.models.card(1)
    with pytest.raises(UnknownVersion):
        lake.models.card(0)


def test_a_published_version_lies_in_its_directory(lake, model_dir, tmp_path):
    source = model_dir(parent=None, metrics={"test_accuracy": 0.9})
    assert lake.models.publish(source, uid="run-1") == 1
    placed = tmp_path / "lake" / "mnist" / "models" / "1"
    for name in ("model.keras", "model.onnx", "card.json"):
        assert (placed / name).read_bytes() == (source / name).read_bytes()
    assert lake.models.versions() == [1]
    assert lake.models.card(1)["metrics"] == {"test_accuracy": 0.9}
    assert lake.models.find("run-1") == 1
    assert not (tmp_path / "lake" / "mnist" / "models" / ".staging").exists()


def test_a_uid_publishes_once_whatever_it_brings(lake, model_dir):
    first, second = model_dir("a"), model_dir("b")
    assert lake.models.publish(first, uid="run") == 1
    assert lake.models.publish(second, uid="run") == 1
    assert fresh(lake).publish(second, uid="run") == 1
    assert fresh(lake).publish(second, uid="another/run with ünicode") == 2
    assert fresh(lake).find("another/run with ünicode") == 2
    assert lake.models.versions() == [1, 2]
    assert lake.models.card(1)["files"] == json.loads((first / "card.json").read_text())["files"]


@pytest.mark.parametrize("uid", ["", "x" * 257])
def test_a_uid_has_bounds(lake, model_dir, uid):
    with pytest.raises(InvalidOption, match="1 to 256"):
        lake.models.publish(model_dir(), uid=uid)


def test_what_is_no_model_directory_is_refused_before_anything_is_written(
    lake, model_dir, tmp_path
):
    with pytest.raises(BadModel, match=r"no card\.json"):
        lake.models.publish(tmp_path, uid="run")
    damaged = model_dir()
    (damaged / "model.onnx").write_bytes(b"other")
    with pytest.raises(BadModel, match="its card says"):
        lake.models.publish(damaged, uid="run")
    (damaged / "model.onnx").unlink()
    with pytest.raises(BadModel, match="cannot read"):
        lake.models.publish(damaged, uid="run")
    (damaged / "card.json").write_text("[]")
    with pytest.raises(BadModel, match="no model card"):
        lake.models.publish(damaged, uid="run")
    (damaged / "card.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BadModel):
        lake.models.publish(damaged, uid="run")
    assert list(lake.objects.listing("")) == []


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a/b",
        "..",
        ".hidden",
        "",
        "a\\b",
        "card.json",
        "CLAIM.json",
        "x" * 200,
    ],
)
def test_file_names_that_leave_the_directory_are_refused(lake, model_dir, tmp_path, name):
    source = model_dir()
    card = json.loads((source / "card.json").read_text())
    card["files"][name] = card["files"]["model.onnx"]
    (source / "card.json").write_text(json.dumps(card))
    with pytest.raises(BadModel, match="plain file names"):
        lake.models.publish(source, uid="run")
    # The same when somebody else wrote it into the lake.
    lake.objects.put("models/1/card.json", json.dumps(card).encode())
    with pytest.raises(CorruptModel, match="plain file names"):
        lake.models.fetch(1, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def break_at(monkeypatch, method: str, call: int) -> None:
    """Let the publisher die at the given call of a storage operation."""
    from hemline_store._objects import Objects

    original = getattr(Objects, method)
    calls = []

    def dying(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Objects, method, dying)


@pytest.mark.parametrize(
    ("method", "call", "claimed"),
    [
        ("put", 1, False),
        ("put", 2, False),
        ("put_new", 1, False),
        ("copy", 1, True),
        ("copy", 2, True),
        ("put", 3, True),
        ("delete", 1, True),
    ],
)
def test_a_publisher_may_die_anywhere(
    lake, model_dir, monkeypatch, tmp_path, method, call, claimed
):
    first = model_dir("first")
    with monkeypatch.context() as patch:
        break_at(patch, method, call)
        with pytest.raises(KeyboardInterrupt):
            lake.models.publish(first, uid="dead")
    listed = lake.models.versions()
    assert listed == ([1] if method == "delete" else [])
    # Another run comes by; what was claimed is finished on the way, what was not leaves no gap.
    assert fresh(lake).publish(model_dir("second"), uid="alive") == (2 if claimed else 1)
    if claimed:
        assert fresh(lake).versions() == [1, 2]
        fetched = fresh(lake).fetch(1, tmp_path / "cache")
        assert (fetched / "model.onnx").read_bytes() == (first / "model.onnx").read_bytes()
    # The dead run comes back and finds or makes its one version.
    again = fresh(lake).publish(first, uid="dead")
    assert again == (1 if claimed else 2)
    assert fresh(lake).versions() == [1, 2]
    fresh(lake).discard_leftovers(older_than=timedelta(0))
    assert not [o for o in lake.objects.listing("models/") if ".staging" in o.path]


def test_a_version_that_nobody_can_finish_blocks_nobody(lake, model_dir, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        break_at(patch, "copy", 1)
        with pytest.raises(KeyboardInterrupt):
            lake.models.publish(model_dir("first"), uid="dead")
    lake.objects.delete([o.path for o in lake.objects.listing("models/.staging/")])
    assert fresh(lake).publish(model_dir("second"), uid="alive") == 2
    assert fresh(lake).versions() == [2]
    assert "cannot finish publishing version 1" in caplog.text
    with pytest.raises(CorruptModel, match="is gone"):
        fresh(lake).find("dead")


def test_leftovers_of_a_publisher_at_work_are_kept(lake, model_dir, monkeypatch):
    with monkeypatch.context() as patch:
        break_at(patch, "put_new", 1)
        with pytest.raises(KeyboardInterrupt):
            lake.models.publish(model_dir(), uid="dead")
    assert lake.models.discard_leftovers() == 0
    assert lake.models.discard_leftovers(older_than=timedelta(0)) == 2


def test_what_a_claim_still_needs_is_kept(lake, model_dir, monkeypatch):
    with monkeypatch.context() as patch:
        break_at(patch, "copy", 2)
        with pytest.raises(KeyboardInterrupt):
            lake.models.publish(model_dir(), uid="dead")
    finish = fresh(lake)
    with monkeypatch.context() as patch:
        patch.setattr(ModelStore, "_try_to_finish", lambda *_, **__: None)
        assert finish.discard_leftovers(older_than=timedelta(0)) == 0
    assert fresh(lake).find("dead") == 1


def run_publishers(uri: str, groups: list[list[str]]) -> list[tuple[str, int]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, uri, *group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for group in groups
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        answers += [(line.split()[0], int(line.split()[1])) for line in output.splitlines()]
    return answers


def test_processes_that_publish_at_once_agree(lake, model_dir):
    directories = [model_dir(f"m{n}") for n in range(3)]
    groups = [
        [f"{directories[n]}=shared-{k}" for k in range(3)] + [f"{directories[n]}=own-{n}"]
        for n in range(3)
    ]
    answers = run_publishers(lake.uri.removesuffix("/mnist"), groups)
    numbers: dict[str, set[int]] = {}
    for uid, version in answers:
        numbers.setdefault(uid, set()).add(version)
    assert all(len(found) == 1 for found in numbers.values()), numbers
    assert sorted(version for (version,) in numbers.values()) == [1, 2, 3, 4, 5, 6]
    assert fresh(lake).versions() == [1, 2, 3, 4, 5, 6]


def test_publishers_killed_at_any_moment_leave_whole_versions(lake, model_dir, tmp_path):
    source = model_dir(size=2_000_000)
    uri = lake.uri.removesuffix("/mnist")
    for n in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, uri, *[f"{source}=run-{n}-{k}" for k in range(50)]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdin.write("go\n")
        process.stdin.flush()
        # Killed in the middle of one of the publications after the n-th.
        for _ in range(n + 1):
            assert process.stdout.readline()
        process.kill()
        process.communicate(timeout=60)
    store = fresh(lake)
    store.publish(source, uid="last")
    versions = store.versions()
    assert versions == list(range(1, len(versions) + 1))
    for version in versions:
        store.fetch(version, tmp_path / "cache")


def test_threads_share_a_store(lake, model_dir):
    source = model_dir()
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda n: lake.models.publish(source, uid=f"u{n % 4}"), range(16)))
    assert [versions[n::4] for n in range(4)] == [[versions[n]] * 4 for n in range(4)]
    assert sorted(set(versions)) == [1, 2, 3, 4]
