import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline_client_sim import BadJournal, Books, Header, Journal, audit, read_journal
from hemline_client_sim._events import (
    Answered,
    Ended,
    Event,
    Labelled,
    Planned,
    Refused,
    Resumed,
    Sent,
    Stray,
    StrayKind,
)

START = 1_000_000.0


def planned(n: int, *, label: int = 3, phase: int = 0, corrupt: bool = False) -> Planned:
    at = START + n
    return Planned(n, at, 2 * n, label, None if corrupt else label, phase, corrupt, at + 5)


def kept(*events: Event) -> Books:
    books = Books(START)
    for event in events:
        books.apply(event)
    return books


def test_an_image_goes_its_way() -> None:
    books = kept(
        planned(0), Sent(0), Answered(0, START + 0.25, 3, 1), Labelled(0), Ended(START + 9, "count")
    )
    counts = books.counts
    assert (counts.sent, counts.answered, counts.labels, counts.scored, counts.right) == (
        1,
        1,
        1,
        1,
        1,
    )
    assert list(books.latencies) == [0.25]
    assert books.first_answer == START + 0.25
    assert books.settled
    assert books.problems() == []


def test_right_or_wrong_the_label_counts_and_only_then_accuracy() -> None:
    books = kept(planned(0), Sent(0), Answered(0, START, 7, 1))
    assert books.counts.scored == 0
    assert books.labels_waiting() == 1
    books.apply(Labelled(0))
    assert (books.counts.scored, books.counts.right) == (1, 0)
    tally = books.tallies[0, 1]
    assert (tally.answered, tally.scored, tally.right) == (1, 1, 0)


def test_the_label_may_come_before_the_answer_and_the_answer_before_the_receipt() -> None:
    books = kept(planned(0), Labelled(0), Answered(0, START + 1, 3, 1), Sent(0))
    assert (books.counts.sent, books.counts.scored, books.counts.right) == (1, 1, 1)
    assert books.settled


def test_the_first_answer_counts_and_repeats_are_counted_apart() -> None:
    books = kept(planned(0), Sent(0), Answered(0, START, 3, 1), Labelled(0))
    for answer in (Answered(0, START + 1, 3, 1), Answered(0, START + 2, 3, 2)):
        books.apply(answer)
    counts = books.counts
    assert (counts.answered, counts.repeats, counts.differing, counts.right) == (1, 2, 1, 1)
    assert books.problems() == []


def test_what_is_lost_is_said() -> None:
    books = kept(planned(0), Sent(0), planned(1), Sent(1), Answered(1, START, 3, 1), Labelled(1))
    assert books.unanswered == 1
    assert any("lost" in line for line in books.problems())
    assert any("labels" in line for line in books.problems())


def test_an_image_that_was_never_confirmed_is_not_lost_and_is_known_as_unsent() -> None:
    books = kept(planned(0), planned(1), Sent(1), Answered(1, START, 3, 1), Labelled(1))
    assert [plan.n for plan in books.unsent()] == [0]
    assert books.problems() == []
    books.apply(planned(0))
    books.apply(Sent(0))
    assert books.unanswered == 1


def test_corrupt_images_are_to_come_back_as_dead_letters() -> None:
    books = kept(planned(0, corrupt=True), Sent(0))
    assert books.problems() == ["1 corrupt images never came back as dead letters"]
    assert books.labels_waiting() == 0
    books.apply(Refused(0, START))
    books.apply(Refused(0, START))
    assert (books.counts.corrupt, books.counts.corrupt_refused, books.counts.sent) == (1, 1, 0)
    assert books.problems() == []


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Refused(0, START), "dead-lettered"),
        (Answered(99, START, 3, 1), "no image it sent"),
        (Refused(99, START), "no image it sent"),
        (Stray(StrayKind.UNKNOWN), "no image it sent"),
        (Stray(StrayKind.MALFORMED), "no predictions"),
    ],
)
def test_every_imbalance_is_a_line(event: Event, words: str) -> None:
    books = kept(planned(0), Sent(0), Answered(0, START, 3, 1), Labelled(0), event)
    assert [words in line for line in books.problems()] == [True]


def test_an_answered_corrupt_image_does_not_balance() -> None:
    books = kept(planned(0, corrupt=True), Sent(0), Refused(0, START), Answered(0, START, 3, 1))
    assert any("corrupt images were answered" in line for line in books.problems())


def test_another_clients_answers_are_none_of_our_business() -> None:
    books = kept(Stray(StrayKind.FOREIGN))
    assert books.counts.foreign == 1
    assert books.problems() == []


def test_a_number_that_was_never_planned_is_unknown() -> None:
    books = kept(planned(5), Sent(5), Answered(3, START, 3, 1), Refused(2, START), Labelled(1))
    assert books.counts.unknown == 2
    assert books.counts.labels == 0
    assert books.unanswered == 1


def test_tallies_are_by_phase_and_version() -> None:
    books = Books(START)
    for n, (phase, version, answer) in enumerate([(0, 1, 3), (1, 1, 4), (1, 2, 3), (1, 2, 5)]):
        for event in (
            planned(n, phase=phase),
            Sent(n),
            Answered(n, START + n, answer, version),
            Labelled(n),
        ):
            books.apply(event)
    assert {key: (tally.right, tally.scored) for key, tally in books.tallies.items()} == {
        (0, 1): (1, 1),
        (1, 1): (0, 1),
        (1, 2): (1, 2),
    }
    assert books.phase_starts == {0: START, 1: START + 1}


# --- journal ------------------------------------------------------------------------------------------------------


def header() -> Header:
    return Header(
        run="r", classifier="mnist", data="d", seed=1, drifts=("inversion@30s",), started=START
    )


EVENTS: list[Event] = [
    planned(0),
    Sent(0),
    Answered(0, START + 0.125, 3, 2),
    planned(1, corrupt=True),
    Refused(1, START),
    Labelled(0),
    Stray(StrayKind.FOREIGN),
    Ended(START + 2, "count"),
    Resumed(START + 3),
]


def test_the_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "books.jsonl"
    with Journal(path, header()) as journal:
        journal.append(EVENTS[:3])
        journal.append(EVENTS[3:])
    read, events = read_journal(path)
    assert read == header()
    assert list(events) == EVENTS


def test_a_torn_last_line_is_dropped_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    with Journal(path, header()) as journal:
        journal.append(EVENTS[:2])
    whole = path.read_bytes()
    for cut in range(1, len(b'["s",0]\n')):
        path.write_bytes(whole[:-cut])
        assert list(read_journal(path)[1]) == EVENTS[:1]
        with Journal(path) as journal:
            journal.append(EVENTS[1:2])
        assert list(read_journal(path)[1]) == EVENTS[:2]


def test_an_earlier_run_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    Journal(path, header()).__exit__(None, None, None)
    with pytest.raises(BadJournal, match="--resume"):
        Journal(path, header())


@pytest.mark.parametrize("line", [b"no json\n", b'["?",1]\n', b'["s"]\n', b'["s","x"]\n', b"{}\n"])
def test_damage_in_the_middle_is_an_error(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "books.jsonl"
    with Journal(path, header()) as journal:
        journal.append(EVENTS[:2])
    path.write_bytes(path.read_bytes() + line + b'["s",0]\n')
    with pytest.raises(BadJournal, match="line 4 is damaged"):
        list(read_journal(path)[1])


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    with pytest.raises(BadJournal, match="cannot read"):
        read_journal(path)
    path.write_text("hello\n")
    with pytest.raises(BadJournal, match="no journal"):
        read_journal(path)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_whatever_the_order_the_books_agree_with_a_plain_count(rng: random.Random) -> None:
    """Answers repeat, overtake, come late and for images nobody sent: two ways of counting agree."""
    pending: list[Event] = []
    events: list[Event] = []
    for n in range(30):
        corrupt = rng.random() < 0.1
        events.append(planned(n, corrupt=corrupt, phase=n // 15))
        pending += [Sent(n)]
        if corrupt:
            pending += [Refused(n, START)] * rng.randint(1, 2)
        else:
            pending += [Labelled(n)] * rng.randint(1, 2)
            pending += [Answered(n, START + n, rng.randint(2, 4), rng.randint(1, 2))] * rng.randint(
                1, 3
            )
        rng.shuffle(pending)
        taken = rng.randint(0, len(pending))
        events += pending[:taken]
        pending = pending[taken:]
    events += pending
    books = Books(START)
    for event in events:
        books.apply(event)
        assert books.labels_waiting() == len(list(books.unlabelled()))
    plain = audit(events)
    assert plain.counted_twice(books) == 0
    assert books.counts.answered == books.counts.sent == plain.answered
    assert books.counts.scored == books.counts.answered
    assert sum(tally.right for tally in books.tallies.values()) == books.counts.right
    assert books.settled
    assert books.problems() == []


def test_the_plain_count_sees_an_answer_counted_twice() -> None:
    events = [planned(0), Sent(0), Answered(0, START, 3, 1), Labelled(0)]
    books = kept(*events)
    books.tallies[0, 1].answered += 1
    assert audit(events).counted_twice(books) == 1
