import subprocess
import sys
from pathlib import Path

import pytest

import hemline_store
from hemline_store import InvalidOption, Lake, Snapshot, StoreError, Unavailable
from hemline_store._names import object_name


def test_a_folder_may_be_given_in_three_ways(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [
        "lake with space",
        str(tmp_path / "lake with space"),
        (tmp_path / "lake with space").as_uri(),
    ]
    lakes = [Lake(place, "mnist") for place in places]
    assert len({lake.uri for lake in lakes}) == 1
    lakes[0].reports.put("run", b"{}")
    assert [lake.reports.get("run") for lake in lakes] == [b"{}"] * 3
    assert (tmp_path / "lake with space" / "mnist" / "reports" / "run.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "empty"),
        ("http://somewhere/x", "begins with http"),
        ("s3://", "no bucket"),
        ("s3://key:secret@bucket/x", "environment"),
        ("s3://bucket/x?region=y", "environment"),
        ("file://host/x", "absolute folder"),
    ],
)
def test_an_address_that_cannot_be_used_is_explained(uri, why):
    with pytest.raises(InvalidOption, match=why) as caught:
        Lake(uri, "mnist")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "x" * 129])
def test_a_classifier_is_a_folder_name(tmp_path, name):
    with pytest.raises(InvalidOption, match="classifier"):
        Lake(str(tmp_path), name)


def test_options_are_not_shown(tmp_path):
    lake = Lake(str(tmp_path), "mnist", options={"aws_secret_access_key": "secret"})
    assert "secret" not in repr(lake)


def test_reports_are_kept_by_uid(lake):
    assert lake.reports.get("run") is None
    for uid in ("run", "a/b", "../run", "RÜN", "x" * 256):
        lake.reports.put(uid, uid.encode())
    assert lake.reports.get("../run") == b"../run"
    assert lake.reports.get("x" * 256) == b"x" * 256
    lake.reports.put("run", b"second")
    assert lake.reports.get("run") == b"second"
    assert len(list(lake.objects.listing("reports/"))) == 5
    with pytest.raises(InvalidOption, match="at most"):
        lake.reports.put("run", b"x" * ((1 << 20) + 1))
    with pytest.raises(InvalidOption, match="1 to 256"):
        lake.reports.put("", b"")


def test_names_of_objects_do_not_meet():
    plain = object_name("run-1")
    hashed = object_name("run/1")
    assert plain == "run-1"
    assert hashed.startswith("_")
    # A uid that looks like the hashed form of another is hashed itself.
    assert object_name(hashed) != hashed


def test_errors_say_whether_a_retry_is_worth_it():
    assert Unavailable("x").retryable
    kinds = [getattr(hemline_store, name) for name in hemline_store.__all__]
    errors = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StoreError)]
    assert [kind for kind in errors if kind.retryable] == [Unavailable]
    tree = hemline_store._errors.__doc__
    assert all(kind.__name__ in tree for kind in errors)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_library(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        Lake(str(tmp_path / "file"), "mnist").models.versions()


def test_model_versions_need_neither_lance_nor_arrow(tmp_path):
    code = (
        "import sys, hemline_store\n"
        f"hemline_store.Lake({str(tmp_path)!r}, 'mnist').models.versions()\n"
        "heavy = {'lance', 'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_exports_are_sorted_and_there():
    from hemline_store import tables

    for module in (hemline_store, tables):
        assert set(module.__all__) <= set(dir(module))
        assert len(set(module.__all__)) == len(module.__all__)
    assert (Path(hemline_store.__file__).parent / "py.typed").exists()
    assert Snapshot(images=1, labels=2, predictions=3).model_dump_json() == (
        '{"images":1,"labels":2,"predictions":3}'
    )
