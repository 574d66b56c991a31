import numpy as np
import pytest

import hemline_model as hm
from hemline_client_sim import BadDrift, Encoding, Phases, SimulatorError, Stream
from hemline_model import Dataset, InputContract, Split

CONTRACT = InputContract(height=12, width=10, channels=1)


@pytest.fixture
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    split = Split(
        [f"t-{i}" for i in range(21)],
        np.arange(21) % 3,
        rng.integers(0, 256, (21, *CONTRACT.shape), dtype=np.uint8),
    )
    return Dataset("tiny", ["cat", "dog", "eel"], CONTRACT, {"test": split})


def stream(dataset: Dataset, *drifts: str, **options: float) -> tuple[Stream, Phases]:
    phases = Phases.parse(drifts)
    return Stream(dataset, seed=5, phases=phases, **options), phases


def test_only_even_indexed_images_travel_each_once_a_pass(dataset: Dataset) -> None:
    made, phases = stream(dataset)
    first = [made.picture(n, phases.at(0)).index for n in range(11)]
    second = [made.picture(n, phases.at(0)).index for n in range(11, 22)]
    assert sorted(first) == sorted(second) == list(range(0, 21, 2))
    assert first != second
    again = stream(dataset)[0]
    assert [again.picture(n, phases.at(0)).index for n in reversed(range(11))] == first[::-1]


@pytest.mark.parametrize("encoding", [Encoding.PNG, Encoding.WEBP, Encoding.NPY])
def test_an_image_arrives_as_it_was(dataset: Dataset, encoding: Encoding) -> None:
    phases = Phases()
    made = Stream(dataset, seed=5, phases=phases, encoding=encoding)
    picture = made.picture(3, phases.at(0))
    data = made.encode(3, picture.index, phases.at(0), corrupt=False)
    decoded = hm.decode(data, CONTRACT, made.content_type)
    assert np.array_equal(decoded, dataset.split("test").images[picture.index])


def test_a_drift_changes_the_pixels_and_not_the_label(dataset: Dataset) -> None:
    made, phases = stream(dataset, "inversion@30s")
    clean, drifted = (made.picture(3, phases.at(t)) for t in (0, 30))
    assert clean == drifted
    data = made.encode(3, drifted.index, phases.at(30), corrupt=False)
    assert np.array_equal(
        hm.decode(data, CONTRACT), 255 - dataset.split("test").images[drifted.index]
    )


def test_a_noisy_drift_is_reproduced(dataset: Dataset) -> None:
    made, phases = stream(dataset, "noise:50")
    one, two = (made.encode(4, 2, phases.at(0), corrupt=False) for _ in range(2))
    assert one == two != made.encode(5, 2, phases.at(0), corrupt=False)


def test_a_class_mix_holds_from_its_moment(dataset: Dataset) -> None:
    made, phases = stream(dataset, "mix:dog=3+2=1@10s")
    before = [made.picture(n, phases.at(0)).label for n in range(200)]
    after = [made.picture(n, phases.at(10)).label for n in range(800)]
    assert set(before) == {0, 1, 2}
    assert set(after) == {1, 2}
    assert after.count(1) / len(after) == pytest.approx(0.75, abs=0.06)


def test_a_mix_of_unknown_classes_is_refused(dataset: Dataset) -> None:
    with pytest.raises(BadDrift, match="'fox', expected one of cat, dog, eel"):
        stream(dataset, "mix:fox")


def test_label_noise_names_another_class(dataset: Dataset) -> None:
    made, phases = stream(dataset, label_noise=0.25)
    pictures = [made.picture(n, phases.at(0)) for n in range(600)]
    wrong = [picture for picture in pictures if picture.told != picture.label]
    assert len(wrong) / len(pictures) == pytest.approx(0.25, abs=0.05)
    assert {picture.told for picture in wrong} == {0, 1, 2}


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_corrupt_image_is_none_and_has_no_label(dataset: Dataset, encoding: Encoding) -> None:
    phases = Phases()
    made = Stream(dataset, seed=5, phases=phases, corrupt=1.0, encoding=encoding)
    for n in range(30):
        picture = made.picture(n, phases.at(0))
        assert picture.corrupt
        assert picture.told is None
        with pytest.raises(hm.BadImage):
            hm.decode(made.encode(n, picture.index, phases.at(0), corrupt=True), CONTRACT)


@pytest.mark.parametrize("wrong", [{"label_noise": 1.5}, {"corrupt": -0.1}])
def test_shares_are_shares(dataset: Dataset, wrong: dict[str, float]) -> None:
    with pytest.raises(SimulatorError, match="expected a share"):
        stream(dataset, **wrong)


def test_the_shipped_sample_streams() -> None:
    made, phases = stream(hm.dataset("fashion-mnist-sample"), "rotation:20")
    picture = made.picture(0, phases.at(0))
    assert picture.index % 2 == 0
    assert hm.decode(
        made.encode(0, picture.index, phases.at(0), corrupt=False),
        InputContract(height=28, width=28, channels=1),
    ).any()
    assert made.class_name(5) == "sandal"
