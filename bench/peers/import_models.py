"""Imports each labelled project of models in a process of its own, and prints those that SQLAlchemy objects to."""

import importlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import sqlalchemy as sa
import sqlmodel  # noqa: F401  once, for all processes
from labelled_models import LabelledModels, read_models
from labelled_modules import write_files
from sqlalchemy import orm


def main() -> None:
    """Import them all."""
    objects = []
    for case in read_models():
        process = os.fork()
        if process == 0:
            os._exit(_objects(case))
        _, status = os.waitpid(process, 0)
        if os.waitstatus_to_exitcode(status):
            objects.append(case.name)
    sys.stdout.write(json.dumps({"version": sa.__version__, "objects": objects}))


def _objects(case: LabelledModels) -> bool:
    """Tell whether SQLAlchemy raises or warns."""
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_files(case.files, Path(directory))
        sys.path.insert(0, directory)
        try:
            for name in case.files:
                importlib.import_module(name.removesuffix(".py").replace("/", "."))
            orm.configure_mappers()
        except Exception:  # noqa: BLE001  whatever it says
            return True
    return any(issubclass(each.category, sa.exc.SAWarning) for each in told)


if __name__ == "__main__":
    main()
