"""The topics of a classifier as an AsyncAPI 3.0 document: ``python -m hemline_api.asyncapi docs/asyncapi.yaml``."""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from hemline_api import events
from hemline_api.topics import Topics

__all__ = ["document"]

_EXAMPLE: Final = Topics("mnist")
_HEADERS: Final = {
    "specversion": "Version of CloudEvents.",
    "id": "Id of the image: predictions and labels carry it too.",
    "source": "Who sent it, a URI reference.",
    "type": "Kind of event.",
    "time": "When it happened, RFC 3339.",
}


def document() -> dict[str, Any]:
    """The document as a mapping; names of topics are those of a classifier called ``mnist``."""
    messages = {
        "image": _message(
            "An image to classify, as the bytes of a file.",
            events.IMAGE_TYPE,
            {
                "enum": list(events.IMAGE_CONTENT_TYPES),
                "description": "Media type of the bytes.",
            },
            {"schema": {"type": "string", "format": "binary"}},
            extra={
                f"ce_{events.GROUP_EXTENSION}": {
                    "type": "string",
                    "description": "Names the picture that several images were made from.",
                }
            },
        ),
        "prediction": _message(
            "An answer; at least one for each image, readers keep the first.",
            events.PREDICTION_TYPE,
            {"const": events.JSON_CONTENT_TYPE},
            {"schema": {"$ref": "#/components/schemas/Prediction"}},
            content_type=events.JSON_CONTENT_TYPE,
        ),
        "label": _message(
            "What an image really shows; the greatest time wins, then the greater event id.",
            events.LABEL_TYPE,
            {"const": events.JSON_CONTENT_TYPE},
            {"schema": {"$ref": "#/components/schemas/Label"}},
            content_type=events.JSON_CONTENT_TYPE,
        ),
        "dead": _message(
            "A message that could not be processed: the original bytes and headers, and why.",
            None,
            {"description": "As it came."},
            {"schema": {"type": "string", "format": "binary"}},
            extra={
                "ce_deadreason": {"type": "string", "description": "Why."},
                "ce_deadtopic": {"type": "string", "description": "Where it came from."},
                "ce_deadattempt": {
                    "type": "string",
                    "description": "The attempt that was the last.",
                },
            },
        ),
    }
    channels = {
        role: {
            "address": getattr(_EXAMPLE, role),
            "description": f"`<classifier>.{role}`, with `<namespace>.` before it where there is one.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        for role, name in (
            ("images", "image"), ("predictions", "prediction"), ("labels", "label"), ("dead", "dead"),
        )
    }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hemline",
            "version": "1.0.0",
            "description": "Topics of one classifier, seen from Hemline. Messages are CloudEvents 1.0 in binary mode: "
            "on Kafka attributes are headers `ce_*`, on Pub/Sub attributes `ce-*`; the key is the image id. Key, "
            f"headers, body and 1 KiB together are at most {events.MAX_MESSAGE_BYTES:,} bytes.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": events.JSON_CONTENT_TYPE,
        "channels": channels,
        "operations": {
            "classify": _operation("receive", "images", "Take images and answer each."),
            "predict": _operation("send", "predictions", "Answer an image."),
            "learn": _operation("receive", "labels", "Take true labels, early, late or twice."),
            "bury": _operation("send", "dead", "Put aside what cannot be processed."),
        },
        "components": {
            "messages": messages,
            "schemas": {
                model.__name__: model.model_json_schema(ref_template="#/components/schemas/{model}")
                for model in (events.Prediction, events.Label)
            },
        },
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
    }


def _message(
    summary: str,
    kind: str | None,
    media_type: dict[str, Any],
    payload: dict[str, Any],
    *,
    content_type: str = "application/octet-stream",
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    headers: dict[str, Any] = {
        f"ce_{name}": {"type": "string", "description": text} for name, text in _HEADERS.items()
    }
    headers["ce_specversion"]["const"] = "1.0"
    if kind is not None:
        headers["ce_type"]["const"] = kind
    headers["content-type"] = {"type": "string", **media_type}
    return {
        "summary": summary,
        "contentType": content_type,
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {**headers, **(extra or {})},
        },
        "payload": payload["schema"],
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "Id of the image."},
                "bindingVersion": "0.5.0",
            }
        },
    }


def main() -> None:
    """Write the document to the file named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m hemline_api.asyncapi FILE")
    text = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    head = "# Generated by `make generate` from libs/api; do not edit.\n"
    Path(sys.argv[1]).write_text(head + text)


if __name__ == "__main__":
    main()
