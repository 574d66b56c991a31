from hypothesis import given
from hypothesis import strategies as st

from hemline_client_sim import AccuracyBins, AccuracyWindow, Bin, Share


def test_the_window_holds_the_newest_of_each_version() -> None:
    window = AccuracyWindow(3)
    for right in (True, True, False, False):
        window.add(1, right=right)
    window.add(2, right=True)
    assert window.shares() == {1: Share(1, 3), 2: Share(1, 1)}
    assert Share(0, 0).accuracy is None


def test_only_the_newest_versions_are_kept() -> None:
    window = AccuracyWindow(3, versions=2)
    for version in (5, 6, 7, 4):
        window.add(version, right=True)
    assert list(window.shares()) == [6, 7]


def test_bins_count_by_version_and_moment_of_sending() -> None:
    bins = AccuracyBins(1.0)
    for version, elapsed, right in [
        (1, 0.2, True),
        (1, 0.9, False),
        (2, 0.5, True),
        (1, 3.0, True),
    ]:
        bins.add(version, elapsed, right=right)
    assert bins.bins() == [Bin(1, 0, 1, 1, 2), Bin(1, 3, 1, 1, 1), Bin(2, 0, 1, 1, 1)]


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.floats(0, 10_000), st.booleans()), min_size=1, max_size=300
    )
)
def test_bins_stay_bounded_and_lose_no_answer(answers: list[tuple[int, float, bool]]) -> None:
    bins = AccuracyBins(1.0, limit=10)
    for version, elapsed, right in answers:
        bins.add(version, elapsed, right=right)
    kept = bins.bins()
    assert len(kept) <= 10
    assert sum(item.total for item in kept) == len(answers)
    assert sum(item.right for item in kept) == sum(right for _, _, right in answers)
    for version, elapsed, _ in answers:
        assert any(
            item.version == version and item.start <= elapsed < item.start + item.width
            for item in kept
        )
