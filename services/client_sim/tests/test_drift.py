import numpy as np
import pytest

from hemline_client_sim import BadDrift, Change, Phases, transform


@pytest.fixture
def picture() -> np.ndarray:
    pixels = np.zeros((28, 28, 1), np.uint8)
    pixels[4:12, 6:20, 0] = 200
    return pixels


def changed(text: str, pixels: np.ndarray) -> np.ndarray:
    result = Change.parse(text).apply(pixels, np.random.default_rng(1))
    assert result.dtype == np.uint8
    assert result.shape == pixels.shape
    return result


def test_inversion_is_its_own_inverse(picture: np.ndarray) -> None:
    inverted = changed("inversion", picture)
    assert inverted[0, 0, 0] == 255
    assert inverted[5, 7, 0] == 55
    assert np.array_equal(changed("inversion", inverted), picture)


def test_rotation_by_a_quarter_is_numpys(picture: np.ndarray) -> None:
    assert np.array_equal(changed("rotation:90", picture), np.rot90(picture))
    tilted = changed("rotation:20", picture)
    assert not np.array_equal(tilted, picture)
    assert tilted.sum() == pytest.approx(picture.sum(), rel=0.05)


def test_blur_spreads_without_losing_light(picture: np.ndarray) -> None:
    blurred = changed("blur:1.5", picture)
    assert blurred.max() < 200 or (blurred > 0).sum() > (picture > 0).sum()
    assert blurred.sum() == pytest.approx(picture.sum(), rel=0.03)
    assert np.array_equal(changed("blur:0", picture), picture)


def test_dark_and_noise(picture: np.ndarray) -> None:
    assert changed("dark:0.5", picture).max() == 100
    assert changed("dark:0", picture).max() == 0
    noisy = changed("noise:40", np.full((64, 64, 3), 128, np.uint8))
    assert noisy.std() == pytest.approx(40, rel=0.05)
    assert changed("noise:0", picture).tolist() == picture.tolist()


def test_colour_images_keep_their_channels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for text in ("inversion", "rotation:20", "blur", "dark", "noise", "none", "mix:a=1"):
        changed(text, pixels)


def test_the_source_is_not_changed(picture: np.ndarray) -> None:
    before = picture.copy()
    for text in ("inversion", "rotation:20", "blur", "dark", "noise"):
        changed(text, picture)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize(
    "text",
    [
        "sepia",
        "inversion:3",
        "rotation:much",
        "rotation:",
        "rotation:999",
        "blur:nan",
        "dark:1.5",
        "mix:",
        "mix:a=-1",
        "mix:a=0",
        "mix:a=1+a=2",
        "",
    ],
)
def test_a_drift_that_cannot_be_read_is_one_clear_line(text: str) -> None:
    with pytest.raises(BadDrift, match=r"received .* expected") as refused:
        Change.parse(text)
    assert "\n" not in str(refused.value)


def test_changes_add_up_until_none() -> None:
    phases = Phases.parse(["blur:2@90s", "inversion@30s", "none@2m"])
    assert [phase.name for phase in phases.items] == [
        "clean",
        "inversion",
        "inversion, blur:2",
        "clean",
    ]
    assert phases.at(0).number == 0
    assert phases.at(29.99).name == "clean"
    assert phases.at(30).name == "inversion"
    assert phases.at(119).number == 2
    assert phases.at(1e9).name == "clean"
    assert phases.at(-1).number == 0


def test_a_drift_without_a_moment_or_at_zero_holds_from_the_start() -> None:
    assert [phase.name for phase in Phases.parse(["dark:0.3", "blur:1@0s"]).items] == [
        "dark:0.3, blur:1"
    ]


def test_moments_have_units() -> None:
    phases = Phases.parse(["blur@500ms", "dark@1.5m", "noise@1h", "inversion@7"])
    assert [phase.at for phase in phases.items] == [0, 0.5, 7, 90, 3600]
    with pytest.raises(BadDrift, match="moment"):
        Phases.parse(["blur@soon"])


def test_two_changes_apply_in_order(picture: np.ndarray) -> None:
    changes = (Change.parse("inversion"), Change.parse("dark:0.5"))
    assert transform(picture, changes, np.random.default_rng(0))[0, 0, 0] == 128
