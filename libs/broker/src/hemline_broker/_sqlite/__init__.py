"""SQLite: a file that several processes share, or a database in memory.

URLs: `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory:`, `memory:name`. Options:

- `create` (yes): `no` refuses a file that does not exist, instead of making it.
- `poll_ms` (2): how often an idle consumer looks for news, in milliseconds.
- `lease` (30): seconds after which a consumer that gives no sign of life loses its messages. A consumer that died
  loses them at once, where the file system has locks.
- `retention` (604800): seconds after which a message is deleted whether or not it was consumed.
- `keep` (600): seconds that a message is kept after it was sent even if every group is done with it, so that a new
  group can begin with old messages.
- `keep_bytes` (268435456): of those, at most so many bytes are kept.
- `sync` (normal): `normal` survives the death of every process, `full` also the loss of power.
"""

from hemline_broker._sqlite._driver import SqliteDriver, open_driver

__all__ = ["SqliteDriver", "open_driver"]
