"""`make run`: the whole support desk on this machine, in the foreground, until Ctrl-C."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psycopg

from deploy.migrate import apply_migrations
from deploy.table import DeployError
from local.auth.keys import load_keys
from local.functions import run_functions
from local.linear.run import real_settings
from local.ports import Ports, free_ports
from local.process import ROOT, StackError, end_predecessor, holder, locked
from local.stack import (
    DEMO_PASSWORD,
    DEMO_PEOPLE,
    Settings,
    Stack,
    run_stack,
    set_intake_secret,
    wait_for,
    watch,
)

HOME = Path(os.environ.get("LOCAL_HOME") or ROOT / ".local")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRY_IT = """
  TOKEN=$(curl -s '{supabase}/auth/v1/token?grant_type=password' -H 'apikey: {key}' \\
    -H 'Content-Type: application/json' -d '{{"email": "customer@example.com", "password": "{password}"}}' \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -s {functions}/create-ticket -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{{"payload": {{"issue_type": "bug", "description": "The export button does nothing."}}}}'
"""


class Stopped(BaseException):
    """Somebody asked us to stop."""


def main() -> int:
    """Serve; the exit status is 0 only if somebody asked to stop."""
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        with _alone(HOME):
            if sys.argv[1:] == ["reset"]:
                reset()
                return 0
            serve()
    except Stopped:
        say("Stopped.")
        return 0
    except PermissionError as error:
        print(f"{error.filename} belongs to another user: be that user, or remove {HOME}", file=sys.stderr)
    except (StackError, DeployError, psycopg.OperationalError) as error:
        print(f"Stopped: {error}", file=sys.stderr)
    return 1


def serve() -> None:
    """Set up, say where everything is, and watch."""
    end_predecessor(HOME)
    if "SUPABASE_URL" in os.environ:
        serve_against(os.environ)
    settings = Settings(HOME, Ports.from_environment(), linear=real_settings(os.environ))
    with run_stack(settings, say) as (stack, parts):
        say(_welcome(stack))
        watch(parts)


def serve_against(environment: Mapping[str, str]) -> None:
    """Only the functions, in front of the Supabase that the environment names."""
    for name in ("SUPABASE_ANON_KEY", "SUPABASE_SECRET_KEY"):
        if name not in environment:
            raise StackError(f"SUPABASE_URL is set, so {name} has to be set too")
    port = Ports.from_environment().functions
    [metadata_port] = free_ports(1)
    # No scheduler and no mail server of ours: what waits in that project's outbox is meant for its own sender.
    known = {
        "INTAKE_SECRET": load_keys(HOME / "keys.json").intake_secret,
        "FUNCTIONS_URL": f"http://127.0.0.1:{port}",
        "GCE_METADATA_HOST": f"127.0.0.1:{metadata_port}",
        **environment,
    }
    if "DATABASE_URL" in environment:
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
            say(f"  {apply_migrations(connection)} migrations applied")
            set_intake_secret(connection, known["INTAKE_SECRET"])
    with run_functions(HOME, known, port) as parts:
        wait_for(parts, say)
        say(f"\nFunctions http://127.0.0.1:{port}, in front of {environment['SUPABASE_URL']}. Ctrl-C stops.")
        watch(parts)


def reset() -> None:
    """Forget everything, the keys too."""
    end_predecessor(HOME)
    shutil.rmtree(HOME)
    say(f"Removed {HOME}")


def say(line: str) -> None:
    """Tell the developer, also when the output is a pipe."""
    print(line, flush=True)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the place, or say who does."""
    home.mkdir(exist_ok=True)
    pid_file = home / "supervisor.pid"
    try:
        with locked(pid_file) as lock:
            os.write(lock, str(os.getpid()).encode())
            yield
    except BlockingIOError:
        raise StackError(f"it is running already, as pid {holder(pid_file)}") from None


def _welcome(stack: Stack) -> str:
    curl = TRY_IT.format(
        supabase=stack.supabase_url,
        key=stack.keys.publishable,
        password=DEMO_PASSWORD,
        functions=stack.functions_url,
    )
    return "\n".join(
        [
            "",
            f"Functions  {stack.functions_url}/<function>",
            f"Supabase   {stack.supabase_url}",
            f"Database   {stack.database.url()}",
            f"Keys       {HOME / 'env'}",
            f"Mails      {HOME / 'mail'}",
            f"Linear     {stack.linear_url}",
            f"People     {', '.join(DEMO_PEOPLE)} (password: {DEMO_PASSWORD})",
            "",
            f"File a ticket:\n{curl}",
            "Ctrl-C stops.",
        ]
    )


def _stop(number: int, frame: FrameType | None) -> None:
    # Once is enough: a second one must not interrupt the stopping.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
