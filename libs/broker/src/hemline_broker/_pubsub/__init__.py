"""Google Pub/Sub through google-cloud-pubsub's protocol and credentials, with a streaming pull of our own.

URL: `pubsub://project`. Options after `?`:

- `endpoint` (host:port): a regional endpoint such as `europe-west1-pubsub.googleapis.com:443`, or an emulator. Without
  it, `PUBSUB_EMULATOR_HOST` names an emulator, else the global service is meant.
- `security`: `tls` sends the application default credentials, `plaintext` sends none. The default is `plaintext` for
  an emulator, which is every endpoint but those of googleapis.com and those on port 443.
- `lease` (15): seconds, 10 to 600 (with an emulator from 1), after which the messages of a consumer that died go to
  another. A live one renews its leases.
- `max_lease` (3600): seconds for which a lease is renewed; a handler that takes longer calls `delivery.extend`.
- `retention` (86400; 0 for none): seconds that a topic made by `ensure` keeps what is published, so that a group made
  later can begin with the oldest message. Google charges for it.

Credentials are Google's application default credentials: `GOOGLE_APPLICATION_CREDENTIALS`, workload identity, or
`gcloud auth application-default login`; they have no place in the URL.
"""

try:
    import google.pubsub_v1  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "pubsub:// needs google-cloud-pubsub: pip install 'hemline-broker[pubsub]'"
    ) from error

from hemline_broker._pubsub._driver import PubsubDriver, open_driver

__all__ = ["PubsubDriver", "open_driver"]
