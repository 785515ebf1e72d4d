"""`python sick_sqlite.py FLAG COMMAND…`: a command of the bridge whose SQLite is sick for as long as the file FLAG says how.

`full`: the file may grow by no page (SQLITE_FULL, as on a full disk); `read_only`: it may not be written (SQLITE_READONLY). The errors are
SQLite's own. https://www.sqlite.org/pragma.html#pragma_max_page_count
"""

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

_NO_LIMIT = 4_294_967_294
SICK = {"full": "PRAGMA max_page_count=1", "read_only": "PRAGMA query_only=ON"}
WELL = (f"PRAGMA max_page_count={_NO_LIMIT}", "PRAGMA query_only=OFF")


def _watch(flag: Path) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def before(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            sickness = flag.read_text() if flag.exists() else ""
            for pragma in [SICK[sickness]] if sickness else WELL:
                cursor.connection.execute(pragma)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
    sys.argv = ["bridge", *sys.argv[2:]]
    sys.path.pop(0)  # This folder holds no modules of the bridge.
    from bridge.cli import main

    main()
