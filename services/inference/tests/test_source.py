"""Loading versions: only what is whole and answers sanely may serve."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hemline_inference import VersionRefused, VersionUnavailable
from hemline_inference._source import Models

Bench = Any


def models(bench: Bench) -> Models:
    return Models(bench.lake.models, cache=bench.cache, threads=1)


def refused(bench: Bench, version: int) -> VersionRefused:
    with pytest.raises(VersionRefused) as caught:
        models(bench).load(version)
    assert caught.value.version == version
    assert not caught.value.retryable
    assert "\n" not in str(caught.value)
    return caught.value


def with_graph(classes: int, weight: float) -> Any:
    """Replace a model's graph by one matrix of one value."""

    def change(directory: Path) -> None:
        weights = np.full((784, classes), weight, np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT),
                helper.make_node("Flatten", ["real"], ["flat"]),
                helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            ],
            "line",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 28, 28, 1])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
            [numpy_helper.from_array(weights, "weights")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, directory / "model.onnx")
        rewrite_checksum(directory)

    return change


def rewrite_checksum(directory: Path) -> None:
    import hashlib

    data = (directory / "model.onnx").read_bytes()
    card = json.loads((directory / "card.json").read_text())
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    card["files"]["model.onnx"] = entry
    (directory / "card.json").write_text(json.dumps(card))


def test_a_whole_version_answers(bench: Bench) -> None:
    classifier = models(bench).load(bench.publish("one"))
    answer = classifier.predict(np.zeros((3, 28, 28, 1), np.uint8))
    assert len(answer) == 3


def test_a_version_that_is_not_there_is_refused(bench: Bench) -> None:
    bench.publish("one")
    assert refused(bench, 9).reason == "missing"


def test_a_version_altered_in_the_lake_is_refused(bench: Bench) -> None:
    version = bench.publish("one")
    bench.damage(version)
    problem = refused(bench, version)
    assert problem.reason == "damaged"
    assert "altered" in str(problem)


def test_a_version_whose_graph_is_none_is_refused(bench: Bench) -> None:
    def garble(directory: Path) -> None:
        (directory / "model.onnx").write_bytes(b"no graph at all")
        rewrite_checksum(directory)

    assert refused(bench, bench.publish("one", garble)).reason == "damaged"


def test_a_version_that_answers_with_nan_is_refused(bench: Bench) -> None:
    version = bench.publish("one", with_graph(10, float("nan")))
    assert refused(bench, version).reason == "wrong_answers"


def test_a_version_with_fewer_answers_than_classes_is_refused(bench: Bench) -> None:
    assert refused(bench, bench.publish("one", with_graph(7, 0.0))).reason == "damaged"


def test_a_damaged_cache_is_replaced(bench: Bench) -> None:
    version = bench.publish("one")
    models(bench).load(version)
    (graph,) = bench.cache.rglob("model.onnx")
    graph.write_bytes(b"rotten")
    models(bench).load(version)
    assert len(graph.read_bytes()) > 1000


def test_a_cache_that_cannot_be_written_is_waited_for(bench: Bench) -> None:
    version = bench.publish("one")
    bench.cache.write_text("a file where the folder should be")
    with pytest.raises(VersionUnavailable):
        models(bench).load(version)


def test_a_lake_that_vanished_is_reported(bench: Bench) -> None:
    version = bench.publish("one")
    shutil.rmtree(bench.uri)
    assert refused(bench, version).reason == "missing"


def test_the_cache_does_not_grow_for_ever(bench: Bench) -> None:
    version = bench.publish("one")
    models(bench).load(version)
    for number in range(100, 120):
        shutil.copytree(bench.cache / str(version), bench.cache / str(number))
    (bench.cache / "something else").mkdir()
    models(bench)._forget_long_past(119)
    left = {path.name for path in bench.cache.iterdir()}
    assert left == {"something else", *(str(number) for number in range(111, 120))}
