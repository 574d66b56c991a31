"""What the loop is measured against, each in a process of its own: `python _loop_peers.py engine|kafka ...`.

`engine`: the bare engine on arrays that are decoded already. Reads a number of seconds a line on stdin, answers with
images per second.

`kafka`: the shortest honest loop over confluent-kafka: poll, decode, predict, produce, flush, commit.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import hemline_model

BATCH = 256


def engine(images: Path) -> None:
    """Run whole passes for about the seconds asked for."""
    classifier = hemline_model.load(hemline_model.pretrained(), threads=1)
    contract = classifier.card.input
    with np.load(images, allow_pickle=False) as saved:
        data, ends = saved["data"].tobytes(), np.cumsum(saved["lengths"]).tolist()
    starts = [0, *ends[:-1]]
    encoded = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    decoded = np.stack([hemline_model.decode(each, contract) for each in encoded])
    batches = [decoded[start : start + BATCH] for start in range(0, len(decoded), BATCH)]
    for batch in batches[:2]:
        classifier.predict(batch)
    print("ready", flush=True)
    for line in sys.stdin:
        done, began = 0, time.perf_counter()
        cpu = time.process_time()
        while time.perf_counter() - began < float(line):
            for batch in batches[:2]:
                classifier.predict(batch)
                done += len(batch)
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu
        print(json.dumps({"rate": done / took, "cpu": cpu / done, "wall": took / done}), flush=True)


def kafka(server: str, source: str, target: str) -> None:
    """Answer one image after the other until killed."""
    from confluent_kafka import Consumer, Producer

    classifier = hemline_model.load(hemline_model.pretrained(), threads=1)
    contract, names = classifier.card.input, classifier.card.classes
    consumer = Consumer(
        {
            "bootstrap.servers": server,
            "group.id": f"{source}.bare",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer({"bootstrap.servers": server})
    consumer.subscribe([source])
    print("ready", flush=True)
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        image = hemline_model.decode(message.value(), contract)
        answer = classifier.predict(image[np.newaxis])
        label = int(answer.labels[0])
        body = {
            "id": message.key().decode(),
            "label": label,
            "label_name": names[label],
            "confidence": float(answer.confidence[0]),
        }
        producer.produce(target, json.dumps(body).encode(), key=message.key())
        producer.flush()
        consumer.commit(message, asynchronous=True)


def main() -> None:
    """Choose."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["engine", "kafka"])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--server")
    parser.add_argument("--source")
    parser.add_argument("--target")
    options = parser.parse_args()
    if options.peer == "engine":
        engine(options.images)
    else:
        kafka(options.server, options.source, options.target)


if __name__ == "__main__":
    main()
