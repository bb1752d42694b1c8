#!/usr/bin/env python3
"""More cases of the acceptance suite's kinds. Its machinery (server, sample data, judges) is the given suite's own.

`cargo xtask acceptance pg --suite tests/acceptance`. The given suite is looked for in ../shared/acceptance/pg beside the
repository, or where DURWARD_ACCEPTANCE says.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GIVEN = Path(os.environ.get("DURWARD_ACCEPTANCE", HERE.parents[2] / "shared" / "acceptance" / "pg")).resolve()
MODULES = {
    "benign": ["benign_sql", "benign_tools", "benign_parameters", "edges", "definitions", "resolution", "layouts", "code"],
    "session": ["session", "session_mirror"],
    "leak": ["leak_values", "leak_oracle", "leak_paths", "leak_wire", "leak_names", "leak_implicit", "hostile", "edges", "definitions", "resolution", "layouts", "code", "leak_bound"],
    "write": ["write_sql", "write_wire", "write_places", "hostile", "edges", "definitions", "resolution", "layouts", "leak_bound"],
}


def given_runner():
    """The given suite's run.py as a module."""
    spec = importlib.util.spec_from_file_location("given_run", GIVEN / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["given_run"] = module
    spec.loader.exec_module(module)  # puts its own folder first in sys.path
    return module


def main() -> int:
    if not GIVEN.is_dir():
        sys.exit(f"the given suite is not in {GIVEN}: set DURWARD_ACCEPTANCE")
    runner = given_runner()
    sys.path.insert(0, str(HERE))

    def load(only):
        found = {category: [case for name in names for case in importlib.import_module(f"more.{name}").CASES if case.category == category]
                 for category, names in MODULES.items() if category in only}
        ids = [case.id for cases in found.values() for case in cases]
        assert len(ids) == len(set(ids)), f"case ids are not unique: {sorted({i for i in ids if ids.count(i) > 1})}"
        return found
    runner.load = load
    return runner.main()


if __name__ == "__main__":
    sys.exit(main())
