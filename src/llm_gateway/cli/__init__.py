"""The command line: one group of commands per file, all of them thin clients of the admin API.

    app         the groups together, and the edge where every error becomes one line and an exit code
    frame       how a command is declared, and the options that all commands share
    exits       exit codes, and what each error means to whoever typed the command
    client      the admin API: of the server that runs on the data directory, else of the gateway in this process
    show        tables, JSON and notes
    times       `15m`, `2h`, `7d` and dates

What takes long to import (FastAPI, SQLAlchemy, rich, httpx) is imported inside the functions that need it.
"""


def main() -> None:
    """The command `llm-gateway`. Ends the process."""
    from llm_gateway.cli.app import run

    run()
