import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemline_samples._errors import NotReady
from hemline_samples._order import FRESH, POOL, Endless, permutation
from hemline_samples._plan import Mixed, OnePass, Shard

GOLDEN_FIRST = [8306, 2799, 1105, 5154, 7057, 702, 2918, 9005]
GOLDEN_DIGEST = "26b0fe0729d6daad947ffacf6e68fbd8631ae03ba14badfd46895fb865fe4d56"


def batches(plan, count, position=0):
    found = (plan.batch(place) for place in range(position, position + count))
    return [chosen.indices.tolist() for chosen in found if chosen is not None]


def one_pass(count, *, seed=0, shard=Shard(), batch_size=4):  # noqa: B008 - frozen
    return OnePass(np.arange(count), seed=seed, shard=shard, batch_size=batch_size)


def mixed(pool, fresh, *, seed=0, shard=Shard(), batch_size=8, fraction=0.5):  # noqa: B008 - frozen
    return Mixed(
        np.arange(pool),
        np.array(fresh, np.int64),
        seed=seed,
        shard=shard,
        batch_size=batch_size,
        fresh_fraction=fraction,
    )


def test_the_order_is_the_same_on_every_machine_and_for_ever():
    # Written down once: a change of this digest breaks every stream that is under way during an upgrade.
    order = permutation(10_000, seed=7, purpose=POOL, epoch=3).astype("<i8")
    assert order[:8].tolist() == GOLDEN_FIRST
    assert hashlib.sha256(order.tobytes()).hexdigest() == GOLDEN_DIGEST


@given(st.integers(1, 300), st.integers(0, 2**64 - 1), st.sampled_from([POOL, FRESH]))
def test_a_permutation_holds_each_number_once(count, seed, purpose):
    order = permutation(count, seed=seed, purpose=purpose, epoch=0)
    assert sorted(order.tolist()) == list(range(count))


@pytest.mark.parametrize("other", [{"seed": 1}, {"purpose": FRESH}, {"epoch": 1}])
def test_another_seed_purpose_or_epoch_is_another_order(other):
    known = {"seed": 0, "purpose": POOL, "epoch": 0}
    first, second = permutation(500, **known), permutation(500, **(known | other))
    assert first.tolist() != second.tolist()


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 90)), max_size=5))
def test_an_endless_order_reads_the_same_from_any_place(count, reads):
    whole = Endless(np.arange(count), seed=5, purpose=POOL).take(0, 400)
    for start in range(0, 400 - count, count):
        assert sorted(whole[start : start + count].tolist()) == list(range(count))
    jumping = Endless(np.arange(count), seed=5, purpose=POOL)
    for start, size in reads:
        assert jumping.take(start, size).tolist() == whole[start : start + size].tolist()


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 5), st.integers(0, 9))
def test_the_shards_of_one_pass_deal_out_each_sample_once(count, batch_size, shards, seed):
    whole = one_pass(count, seed=seed, batch_size=batch_size)
    expected = batches(whole, 100)
    dealt = [
        batches(one_pass(count, seed=seed, batch_size=batch_size, shard=Shard(index, shards)), 100)
        for index in range(shards)
    ]
    for index, shard in enumerate(dealt):
        assert shard == expected[index::shards]
    assert sorted(sample for shard in dealt for batch in shard for sample in batch) == list(
        range(count)
    )


def test_a_pass_ends_and_its_last_batch_may_be_short():
    plan = one_pass(10)
    assert [len(batch) for batch in batches(plan, 9)] == [4, 4, 2]
    assert plan.batch(3) is None


def test_a_mixed_batch_is_half_fresh_and_half_from_everything():
    fresh = [90, 91, 92, 93, 94, 95]
    plan = mixed(100, fresh)
    seen_fresh, seen_old = [], []
    for position in range(75):
        chosen = plan.batch(position)
        assert chosen.fresh == 4
        seen_fresh += chosen.indices[:4].tolist()
        seen_old += chosen.indices[4:].tolist()
    assert {seen_fresh.count(sample) for sample in fresh} == {50}
    assert {seen_old.count(sample) for sample in range(100)} == {3}


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.floats(0, 1),
    st.integers(0, 200),
    st.integers(1, 4),
)
def test_a_mixed_stream_goes_on_from_any_position(pool, fresh, fraction, position, shards):
    def plan():
        return mixed(
            pool, list(range(fresh)), fraction=fraction, seed=3, shard=Shard(shards - 1, shards)
        )

    from_the_start = batches(plan(), position + 5)
    assert batches(plan(), 5, position) == from_the_start[position:]


@pytest.mark.parametrize(("fraction", "fresh"), [(0.0, 0), (0.05, 0), (0.07, 1), (0.5, 4), (1, 8)])
def test_the_share_is_rounded_to_whole_samples(fraction, fresh):
    assert mixed(10, [1], fraction=fraction).batch(0).fresh == fresh


def test_a_mix_without_fresh_samples_says_what_is_missing():
    with pytest.raises(NotReady, match="no fresh sample"):
        mixed(10, [])
    assert mixed(10, [], fraction=0.0).batch(0).fresh == 0


def test_a_mix_of_nothing_says_so():
    with pytest.raises(NotReady, match="no labelled sample"):
        mixed(0, [], fraction=0.0)
