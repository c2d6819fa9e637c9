"""carlake: an event-driven lakehouse for vehicle telemetry on Apache Iceberg.

`Lakehouse` is all that the commands do, as a typed API; `Settings` says how a lake works.
"""

from typing import TYPE_CHECKING

from carlake.lazy import names
from carlake.version import VERSION as __version__  # noqa: N811

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse
    from carlake.settings import Settings

__all__ = ["Lakehouse", "Settings", "__version__"]
__getattr__ = names(__name__, {"Lakehouse": "carlake.lakehouse", "Settings": "carlake.settings"})
