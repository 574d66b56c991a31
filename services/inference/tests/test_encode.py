"""The fast way of writing predictions writes what the contract writes."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hemline_api.events import Prediction
from hemline_inference._decoding import MAX_ID
from hemline_inference._encode import encode_predictions, fractions

NAMES = ["T-shirt/top", 'a "quoted" name', "Ürün 靴", "tab\there", "\x7f\u2028"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
MOMENTS = st.datetimes(
    datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC), allow_imaginary=False
)


@given(
    ids=st.lists(TEXT, min_size=1, max_size=5),
    raw=st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
    label=st.integers(0, 4),
    received=MOMENTS,
    every=st.booleans(),
)
def test_bytes_equal_those_of_the_contract(
    ids: list[str], raw: list[float], label: int, received: datetime, every: bool
) -> None:
    predicted = received + timedelta(microseconds=1234)
    shares = fractions(np.array(raw, np.float32)).tolist()
    bodies = encode_predictions(
        ids,
        [label] * len(ids),
        NAMES,
        [shares[label]] * len(ids),
        [shares] * len(ids) if every else None,
        model_version=7,
        received_at=received,
        predicted_at=predicted,
    )
    assert len(bodies) == len(ids)
    for image_id, body in zip(ids, bodies, strict=True):
        expected = Prediction(
            id=image_id,
            label=label,
            label_name=NAMES[label],
            confidence=shares[label],
            probabilities=shares if every else None,
            model_version=7,
            received_at=received,
            predicted_at=predicted,
        )
        assert body == expected.to_json()
        assert Prediction.from_json(body) == expected


def test_fractions_never_leave_the_unit_interval() -> None:
    given_values = np.array([1.0000001, -1e-9, 1e-7, 0.1234567, 5e-324], np.float32)
    rounded = fractions(given_values).tolist()
    assert rounded == [1.0, 0.0, 0.0, 0.123457, 0.0]
    assert not any(math.copysign(1, value) < 0 and value != 0 for value in rounded)


def test_the_longest_id_is_the_contract_s() -> None:
    now = datetime.now(UTC)

    def prediction(length: int) -> Prediction:
        return Prediction(
            id="x" * length, label=0, label_name="a", confidence=1.0, model_version=1,
            received_at=now, predicted_at=now,
        )  # fmt: skip

    prediction(MAX_ID)
    with pytest.raises(ValidationError):
        prediction(MAX_ID + 1)
