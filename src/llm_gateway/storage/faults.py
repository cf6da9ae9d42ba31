"""Drivers' errors -> ours, in one place.

PostgreSQL's are told by their SQLSTATE (PostgreSQL documentation, Appendix A), SQLite's by the name of their result
code (sqlite.org/rescode.html). What is neither an outage nor a caller's mistake is ours and stays as it is.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from llm_gateway.errors import Conflict, DatabaseUnavailable, GatewayError, InvalidRequest

_HINT = "Is it running, and is LLM_GATEWAY_DATABASE_URL right?"
_NO_TABLES = "The database has no tables of this version. `llm-gateway db upgrade` makes them."

# Class 08 connection, 25 transaction (read-only, given up), 28 authorization, 3B savepoint, 3D no such database, 40
# rolled back (deadlock, failover), 53 resources (disk, memory, connections), 55 locked, 57 operator (shutdown, starting
# up), 58 system, F0 configuration, XX corrupted.
_PG_OUTAGE = frozenset({"08", "25", "28", "3B", "3D", "40", "53", "55", "57", "58", "F0", "XX"})
_PG_NO_PRIVILEGE = "42501"
_PG_NO_TABLE = "42P01"
_PG_NO_COLUMN = "42703"
_SQLITE_GIVEN_UP = "no such savepoint"
"""SQLite undoes whole transactions when its disk is full (sqlite.org/lang_transaction.html), and what is heard of it is
that there is no savepoint any more to go back to."""
_SQLITE_NO_COLUMN = ("no such column", "has no column named")
_SQLITE_OUTAGE = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_NOTADB",
    "SQLITE_CORRUPT",
    "SQLITE_PERM",
    "SQLITE_AUTH",
    "SQLITE_NOMEM",
)


def translated(error: BaseException) -> GatewayError | None:
    """What an error of a statement or of connecting means to the caller; None = it is a mistake of this program."""
    match error:
        case DBAPIError():
            return _of_driver(error)
        case StatementError(orig=GatewayError() as ours):  # a column type refused a value
            return ours
        case OverflowError():  # SQLite's driver, of a number with more than 64 bits
            return InvalidRequest("A number is larger than what the database can hold.")
        case OSError():
            return unreachable(error)
    return None


def lacks_column(error: DBAPIError) -> bool:
    """Are the tables another version's, or is the statement wrong? The values in it are not to blame."""
    return _sqlstate(error) == _PG_NO_COLUMN or any(said in _words(error.orig) for said in _SQLITE_NO_COLUMN)


def unreachable(error: OSError | PoolTimeout) -> DatabaseUnavailable:
    """Of what fails before there is a connection."""
    match error:
        case PoolTimeout():
            return DatabaseUnavailable("The database is too busy: no connection became free in time.")
        case TimeoutError():
            return DatabaseUnavailable(f"The database did not answer in time. {_HINT}")
    return _gone(error)


def _of_driver(error: DBAPIError) -> GatewayError | None:
    state, code = _sqlstate(error), _sqlite_code(error)
    words = _words(error.orig)
    if _is_duplicate(error):
        return Conflict("That exists already.")
    if state == "23514" or code == "SQLITE_CONSTRAINT_CHECK":
        return InvalidRequest("A value is outside of what is allowed.", details={"constraint": words})
    if state[:2] == "22":
        return InvalidRequest(f"The database cannot hold a value: {words}.")
    if words.startswith(_SQLITE_GIVEN_UP):
        return DatabaseUnavailable("The database has given a transaction up. Is its disk full?")
    if state == _PG_NO_TABLE or "no such table" in words:
        return DatabaseUnavailable(_NO_TABLES)
    outage = state[:2] in _PG_OUTAGE or state == _PG_NO_PRIVILEGE or code.startswith(_SQLITE_OUTAGE)
    if outage or error.connection_invalidated or not (state or code):
        return _gone(error.orig or error)
    return None


def _is_duplicate(error: DBAPIError) -> bool:
    return _sqlstate(error) == "23505" or _sqlite_code(error) in (
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    )


def _gone(error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database cannot be used: {_words(error)}. {_HINT}")


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _sqlite_code(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", None) or ""


def _words(error: BaseException | None) -> str:
    """The driver's first line, without the class names that the layers between put in front."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text.rpartition(">: ")[2].rstrip(".")[:200]
