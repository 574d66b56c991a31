import pytest

from hemline_store import BadQuery, InvalidOption
from hemline_store.tables import ImportItem


@pytest.fixture
def filled(samples, rows):
    samples.append_images([rows.image("a"), rows.image("b"), rows.image("b"), rows.image("c")])
    samples.append_labels([rows.label("a", 0, t=9), rows.label("b", "two"), rows.label("x", 1)])
    samples.append_predictions(
        [rows.prediction("a", 0, t=2), rows.prediction("b", 1, version=2), rows.prediction("c", 1)]
    )
    samples.import_dataset("set", [ImportItem("i", b"x", "image/png", 1, split="test")])
    return samples


def test_accuracy_by_version_as_the_readme_asks_it(filled, rows):
    sql = "select model_version, count(*) n, avg(correct) accuracy from answered group by 1 order by 1"
    assert filled.query(sql, classes=rows.classes).to_pylist() == [
        {"model_version": 1, "n": 2, "accuracy": 1.0},
        {"model_version": 2, "n": 1, "accuracy": 0.0},
    ]


def test_class_names_come_from_the_newest_model(filled, lake, model_dir):
    with pytest.raises(InvalidOption, match="no model version"):
        filled.query("SELECT 1")
    lake.models.publish(model_dir(), uid="run")
    found = filled.query("SELECT id, label_name FROM samples WHERE label IS NOT NULL ORDER BY id")
    assert found.to_pylist() == [
        {"id": "a", "label_name": "zero"},
        {"id": "b", "label_name": "two"},
        {"id": "i", "label_name": "one"},
    ]


def test_the_views_have_these_columns(filled, rows):
    columns = {
        "images": "id group content_type origin split received_at",
        "labels": "id label label_name retracted time event_id source received_at",
        "predictions": "id label label_name confidence probabilities model_version received_at"
        " predicted_at event_id",
        "samples": "id origin split received_at label label_name labelled_at",
        "answered": "id model_version predicted predicted_name label label_name correct confidence"
        " received_at predicted_at labelled_at",
    }
    counts = {"images": 5, "labels": 4, "predictions": 3, "samples": 4, "answered": 3}
    for view, names in columns.items():
        table = filled.query(f"SELECT * FROM {view}", classes=rows.classes)
        assert table.column_names == names.split()
        assert table.num_rows == counts[view]


def test_times_can_be_reckoned_with(filled, rows):
    sql = """SELECT epoch(labelled_at - predicted_at) AS delay, date_trunc('day', received_at) AS day,
             received_at >= '2026-01-01' AS after FROM answered WHERE id = 'a'"""
    (row,) = filled.query(sql, classes=rows.classes).to_pylist()
    assert (row["delay"], row["day"].isoformat(), row["after"]) == (7, "2026-01-01T00:00:00", True)
    for table in ("images", "labels", "predictions", "samples"):
        (day,) = filled.query(
            f"SELECT max(date_trunc('day', received_at)) AS day FROM {table} WHERE id = 'a'",
            classes=rows.classes,
        )["day"].to_pylist()
        assert day.isoformat() == "2026-01-01T00:00:00"


def test_an_older_snapshot_can_be_asked(filled, rows):
    before = filled.snapshot()
    filled.append_images([rows.image("later")])
    count = "SELECT count(*) AS n FROM samples"
    assert filled.query(count, classes=rows.classes, snapshot=before)["n"].to_pylist() == [4]
    assert filled.query(count, classes=rows.classes)["n"].to_pylist() == [5]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "selekt",
        "SELECT * FROM nothing",
        "SELECT nothing FROM samples",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_what_cannot_be_asked_is_one_clear_line(filled, rows, sql):
    with pytest.raises(BadQuery) as caught:
        filled.query(sql, classes=rows.classes)
    assert "\n" not in str(caught.value)


def test_a_query_reaches_nothing_but_the_lake(filled, rows, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    target = tmp_path / "out.csv"
    for sql in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM '{secret}'",
        f"COPY (SELECT 1) TO '{target}'",
        f"ATTACH '{tmp_path / 'x.db'}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM filled",
    ):
        with pytest.raises(BadQuery):
            filled.query(sql, classes=rows.classes)
    assert not target.exists()


def test_a_query_changes_nothing(filled, rows):
    for sql in ("DROP VIEW samples", "DELETE FROM joined", "SELECT 1; DROP VIEW samples"):
        with pytest.raises(BadQuery, match="one SELECT"):
            filled.query(sql, classes=rows.classes)
    assert filled.summary(rows.classes).images == 4
