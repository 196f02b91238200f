"""Tests `make run` as a developer uses it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg
import pytest

from local.auth.keys import load_keys
from local.people import RunningStack
from local.ports import free_ports
from local.process import ROOT, end_leftovers, locked, running
from local.stack import DEMO_PEOPLE

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")
# Without the securebit access(2) forgets the capabilities, and PostgreSQL does not find its own files.
REACH = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]


@dataclass
class Desk:
    """One `make run`, as its developer sees it."""

    home: Path
    env: dict[str, str]
    process: "subprocess.Popen[str]"

    def read_until(self, text: str) -> str:
        """Returns its output up to that text."""
        said = ""
        assert self.process.stdout
        while text not in said:
            line = self.process.stdout.readline()
            assert line, f"it ended without saying {text!r}:\n{said}"
            said += line
        return said

    def end(self) -> tuple[int, str]:
        """Its status and what it still had to say."""
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def settings(self) -> dict[str, str]:
        """Reads the settings that it wrote for its users."""
        lines = (self.home / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pid_of(self, part: str) -> int:
        """The process of one of its parts."""
        return int((self.home / "run" / f"{part}.pid").read_text())


Start = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Start]:
    """Start `make run`, as often as wanted, on ports and data of this test."""
    with _starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def running_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One that is left running, for the tests that only look."""
    with _starting(tmp_path_factory.mktemp("desk")) as start:
        it = start()
        it.read_until("Ctrl-C stops")
        yield it


@contextmanager
def _starting(folder: Path) -> Iterator[Start]:
    known = ("FUNCTIONS_PORT", "SUPABASE_PORT", "DATABASE_PORT", "MAIL_PORT", "LINEAR_PORT")
    ports = dict(zip(known, map(str, free_ports(len(known))), strict=True))
    usual = {
        "PATH": os.environ["PATH"],
        "LOCAL_HOME": str(folder / "local"),
        "AWS_SECRET_ACCESS_KEY": "nobody's business",
        **ports,
    }
    started: list[subprocess.Popen[str]] = []

    def start(*before: str, **changes: str) -> Desk:
        env = {**usual, **changes}
        command = [*before, sys.executable, "-m", "local"]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=ROOT, env=env, text=True, **output)  # type: ignore[call-overload]
        started.append(process)
        return Desk(Path(env["LOCAL_HOME"]), env, process)

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
            process.communicate(timeout=30)


def test_the_printed_curl_files_a_ticket_and_the_data_outlive_a_restart(desk: Start) -> None:
    first = desk()
    said = first.read_until("Ctrl-C stops")
    curl = said[said.index("  TOKEN=") : said.index("Ctrl-C stops")]
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    number = json.loads(answer.stdout)["ticket_number"]
    _stop(first, signal.SIGTERM)

    begun = time.monotonic()
    second = desk()
    second.read_until("Ctrl-C stops")
    assert time.monotonic() - begun < 5
    assert second.settings()["SUPABASE_ANON_KEY"] in said
    with psycopg.connect(second.settings()["DATABASE_URL"]) as connection:
        newest = "select ticket_number from desk.support_tickets order by created_at desc limit 1"
        assert connection.execute(newest).fetchone() == (number,)
        people = connection.execute("select email from auth.users order by created_at").fetchall()
        assert [email for (email,) in people] == list(DEMO_PEOPLE)


def test_ctrl_c_stops_it_and_leaves_no_process_behind(desk: Start) -> None:
    it = desk()
    it.read_until("Ctrl-C stops")
    assert len(_descendants(it.process.pid)) > 8
    _stop(it, signal.SIGINT)


def test_ctrl_c_stops_it_in_the_middle_of_starting_too(desk: Start) -> None:
    it = desk()
    it.read_until("PostgreSQL")
    _stop(it, signal.SIGINT)


@pytest.mark.parametrize("part", ["postgres", "create-ticket"])
def test_when_a_part_crashes_everything_stops_and_the_part_is_named(desk: Start, part: str) -> None:
    it = desk()
    it.read_until("Ctrl-C stops")
    family = _descendants(it.process.pid)
    os.kill(it.pid_of(part), signal.SIGKILL)
    status, said = it.end()
    assert status == 1
    assert f"Stopped: {part} ended with status -9; the end of {it.home}/log/{part}.log:" in said
    assert _alive(family) == []


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(desk: Start, tmp_path: Path) -> None:
    (tmp_path / "local" / "postgres").mkdir(parents=True, mode=0o700)
    status, said = desk().end()
    assert status == 1
    assert re.search(
        r"^Stopped: postgres ended with status 1; the end of .*postgres.log:\n    .+", said, re.MULTILINE
    )


def test_a_second_start_names_the_first_and_leaves_it_alone(running_desk: Desk) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=running_desk.env,
        capture_output=True,
        text=True,
    )
    assert second.stderr == f"Stopped: it is running already, as pid {running_desk.process.pid}\n"
    assert second.returncode == 1
    assert running_desk.process.poll() is None


@pytest.mark.parametrize(
    "variable", ["FUNCTIONS_PORT", "SUPABASE_PORT", "DATABASE_PORT", "MAIL_PORT", "LINEAR_PORT"]
)
def test_a_taken_port_is_named_with_the_variable_that_changes_it(desk: Start, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        port = other_program.getsockname()[1]
        status, said = desk(**{variable: str(port)}).end()
    assert status == 1
    assert re.fullmatch(rf"Stopped: port {port}, wanted for the \w+, is taken .* {variable}=\d+ .*\n", said)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_named(desk: Start, port: str) -> None:
    assert desk(SUPABASE_PORT=port).end() == (
        1,
        f"Stopped: SUPABASE_PORT must be a port number, not '{port}'\n",
    )


def test_a_killed_supervisor_takes_its_parts_along_and_the_next_one_starts(desk: Start) -> None:
    first = desk()
    first.read_until("Ctrl-C stops")
    family = _descendants(first.process.pid)
    first.process.kill()
    first.end()
    second = desk()
    second.read_until("Ctrl-C stops")
    assert _alive(family) == []


def test_a_process_that_a_killed_predecessor_left_is_stopped_first(tmp_path: Path) -> None:
    pid_file = tmp_path / "run" / "part.pid"
    pid_file.parent.mkdir()
    with locked(pid_file) as lock:
        left = subprocess.Popen(["sleep", "60"], pass_fds=[lock], start_new_session=True)
        os.write(lock, str(left.pid).encode())
    with running("part", ["sleep", "60"], home=tmp_path, env={}, ready=lambda: True) as part:
        assert left.wait(1) == -signal.SIGTERM
        assert part.process.poll() is None


def test_a_pid_file_that_names_somebody_elses_process_harms_nobody(tmp_path: Path) -> None:
    pid_file = tmp_path / "part.pid"
    innocent = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        pid_file.write_text(str(innocent.pid))
        end_leftovers(pid_file)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_somebody_who_is_not_root_can_run_it_too(desk: Start, tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_534)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # The tests' own interpreter may lie in root's home.
    it = desk(*become, *REACH)
    it.read_until("Ctrl-C stops")
    assert Path(f"/proc/{it.pid_of('postgrest')}").stat().st_uid == 65_534


def test_only_this_machine_reaches_it(running_desk: Desk) -> None:
    family = _descendants(running_desk.process.pid)
    assert {address for _, address in _listening(family)} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["env", "keys.json"])
def test_only_its_owner_reads_the_keys(running_desk: Desk, name: str) -> None:
    assert stat.S_IMODE((running_desk.home / name).stat().st_mode) == 0o600


def test_keys_that_an_earlier_version_made_stay_and_new_ones_join_them(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = load_keys(path)
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "linear_key"}
    path.write_text(json.dumps(kept))
    second = load_keys(path)
    assert second.linear_key != first.linear_key
    assert replace(second, linear_key=first.linear_key) == first
    assert load_keys(path) == second


def test_a_function_is_given_what_the_table_lists_and_nothing_else(running_desk: Desk) -> None:
    create, add = (_environment(running_desk.pid_of(name)) for name in ("create-ticket", "add-message"))
    assert create["INTAKE_SECRET"] == running_desk.settings()["INTAKE_SECRET"]
    assert "INTAKE_SECRET" not in add
    assert not {"SUPABASE_SECRET_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} & {*create, *add}


def test_with_a_supabase_in_the_environment_only_the_functions_run(desk: Start, stack: RunningStack) -> None:
    given = {"SUPABASE_ANON_KEY": stack.anon_key, "SUPABASE_SECRET_KEY": stack.secret_key}
    it = desk(SUPABASE_URL=stack.supabase_url, **given)
    it.read_until("Ctrl-C stops")
    url = f"http://127.0.0.1:{it.env['FUNCTIONS_PORT']}/list-tickets/categories"
    assert httpx.get(url, trust_env=False).status_code == 200
    assert not (it.home / "postgres").exists()


def test_with_a_linear_key_in_the_environment_no_double_runs(desk: Start) -> None:
    given = {"LINEAR_API_KEY": "lin_api_mine", "LINEAR_API_URL": "http://127.0.0.1:9/graphql"}
    it = desk(**given)
    assert "Linear     http://127.0.0.1:9/graphql" in it.read_until("Ctrl-C stops")
    assert it.settings().items() >= given.items()
    assert not (it.home / "run" / "linear.pid").exists()


def test_a_reset_forgets_everything_but_not_under_a_running_desk(running_desk: Desk, tmp_path: Path) -> None:
    reset = [sys.executable, "-m", "local", "reset"]
    refused = subprocess.run(reset, cwd=ROOT, env=running_desk.env, capture_output=True, text=True)
    assert "it is running already" in refused.stderr
    assert (running_desk.home / "keys.json").exists()
    home = tmp_path / "local"
    (home / "postgres").mkdir(parents=True)
    done = subprocess.run(reset, cwd=ROOT, env={**running_desk.env, "LOCAL_HOME": str(home)})
    assert done.returncode == 0
    assert not home.exists()


def test_a_database_that_is_not_there_is_told_without_a_traceback(desk: Start, stack: RunningStack) -> None:
    given = {"SUPABASE_ANON_KEY": stack.anon_key, "SUPABASE_SECRET_KEY": stack.secret_key}
    nowhere = "postgresql://postgres:secret@127.0.0.1:1/postgres"
    status, said = desk(SUPABASE_URL=stack.supabase_url, DATABASE_URL=nowhere, **given).end()
    assert (status, said.startswith("Stopped: ")) == (1, True)
    assert "Traceback" not in said
    assert "secret" not in said


def test_a_supabase_without_its_keys_is_refused(desk: Start, stack: RunningStack) -> None:
    it = desk(SUPABASE_URL=stack.supabase_url)
    assert it.end() == (1, "Stopped: SUPABASE_URL is set, so SUPABASE_ANON_KEY has to be set too\n")


def _stop(it: Desk, number: signal.Signals) -> None:
    """Ask, and see that it ends in order, with everything it has started."""
    family = _descendants(it.process.pid)
    it.process.send_signal(number)
    status, said = it.end()
    assert (status, said.splitlines()[-1]) == (0, "Stopped.")
    assert _alive(family) == []


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(path.parent.name))
    children = parents.get(pid, [])
    return [*children, *(grandchild for child in children for grandchild in _descendants(child))]


def _alive(pids: list[int]) -> list[int]:
    """Those that still run; a zombie does not, and a killed predecessor's parts get a moment."""
    deadline = time.monotonic() + 5
    while (left := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listening(pids: list[int]) -> set[tuple[int, str]]:
    """Port and address of every listening TCP socket of these processes."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((int(port, 16), _address(address)))
    return found


def _address(text: str) -> str:
    return socket.inet_ntoa(bytes.fromhex(text)[::-1]) if len(text) == 8 else f"[{text}]"


def _environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
