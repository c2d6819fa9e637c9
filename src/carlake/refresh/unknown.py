"""Tables that lie in the warehouse but that the catalog knows nothing of, as after the setting `catalog` was changed."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError

from carlake.catalogs.failures import of_a_file
from carlake.errors import CarlakeError, LakeError
from carlake.storage.places import Places
from carlake.storage.store_files import store_options
from carlake.tables.declare import OPS_FORGOTTEN, OPS_RUNS


def refuse_unknown(catalog: Catalog, namespace: str, tables: Iterable[str], warehouse: str) -> None:
    """Raise LakeError where the catalog knows none of the flow's tables, and the warehouse holds one.

    The objects that those tables hold are archived and would not come again, their files would go as orphans, and who
    reads would be told that the lake is empty. What was only noted (a run that was refused for this very reason) does not
    make the catalog the lake's own. Files are listed only where the catalog knows no table.
    """
    names = list(tables)
    if any(_known(catalog, f"{namespace}.{name}") for name in names if name not in (OPS_RUNS, OPS_FORGOTTEN)):
        return
    places = Places(store_options(catalog.properties))
    for name in names:
        folder = f"{warehouse}/{namespace}/{name}/metadata"
        # The metadata of a table that another process makes at this moment has the number 0.
        found = (file.path.rpartition("/")[2] for file in places.below(folder))
        if any(file.endswith(".metadata.json") and not file.startswith("00000-") for file in found):
            if _known(catalog, f"{namespace}.{name}"):  # its own, or another process was faster
                continue
            raise LakeError(
                f"The catalog knows no table of this lake, but {folder.removeprefix('file://')} holds one.",
                "If the catalog was changed, let it know the tables that are there: carlake recover",
            )


def _known(catalog: Catalog, name: str) -> bool:
    try:
        catalog.load_table(name)
    except NoSuchTableError:
        return False
    except (OSError, ValueError, CarlakeError):
        return True  # what it names is gone or damaged, which is said where the table is read
    except Exception as error:
        if not of_a_file(error):
            raise
        return True  # the catalog's own file is damaged, which is said there, too
    return True
