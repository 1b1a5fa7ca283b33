"""What a machine must have for the suite."""

import glob
import pathlib
import shutil

PROGRAMS = ("psql", "erl")


def lacking() -> str:
    """What is missing, in a sentence; nothing if it is all there."""
    if not pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        return "RabbitMQ is not installed (apt-get install rabbitmq-server)"
    if not glob.glob("/usr/lib/postgresql/*/bin/postgres"):
        return "PostgreSQL is not installed (apt-get install postgresql)"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"these programs are not on the path: {', '.join(missing)}" if missing else ""
