"""Watching the rollout document."""

from pathlib import Path

from hemline_api.rollout import Canary, Rollout
from hemline_inference._rollout import RolloutFile


def write(path: Path, rollout: Rollout) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(rollout.to_json())
    fresh.replace(path)


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    watched = RolloutFile(tmp_path / "rollout.json")
    assert watched.poll() is None
    assert watched.problem is not None and "does not exist yet" in watched.problem
    write(tmp_path / "rollout.json", Rollout(revision=1, stable=3))
    assert watched.poll() == Rollout(revision=1, stable=3)
    assert watched.problem is None


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    watched = RolloutFile(path)
    for revision in range(1, 5):
        document = Rollout(
            revision=revision, stable=1, canary=Canary(version=revision + 1, fraction=0.5)
        )
        write(path, document)
        assert watched.poll() == document
        assert watched.poll() == document


def test_a_mounted_config_map_is_followed_through_its_links(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    for revision in (1, 2):
        (tmp_path / f"..{revision}").mkdir()
        write(tmp_path / f"..{revision}" / "rollout.json", Rollout(revision=revision, stable=1))
    (tmp_path / "..data").symlink_to("..1")
    path.symlink_to("..data/rollout.json")
    watched = RolloutFile(path)
    first = watched.poll()
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    second = watched.poll()
    assert first is not None and first.revision == 1
    assert second is not None and second.revision == 2


def test_what_is_no_document_is_reported_and_the_last_good_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    good = Rollout(revision=4, stable=2)
    write(path, good)
    watched = RolloutFile(path)
    assert watched.poll() == good
    for damaged in (b"", b"{", b'{"revision": 5}', b'{"revision": 5, "stable": 0}', b"x" * 70_000):
        path.write_bytes(damaged)
        assert watched.poll() == good
        assert watched.problem is not None and str(path) in watched.problem
    path.unlink()
    assert watched.poll() == good
    assert watched.problem is not None
    write(path, good)
    assert watched.poll() == good
    assert watched.problem is None
