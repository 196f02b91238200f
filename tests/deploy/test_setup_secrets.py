"""Stores secrets in Secret Manager, and changes them."""

import os
import pty
import subprocess
import sys
from threading import Timer

import psycopg
import pytest

from deploy.migrate import Connection
from deploy.setup import __main__ as setup
from deploy.table import read_table
from local.people import RunningStack
from tests.deploy.google.google_apis import Cloud, SetUp

INTAKE, STORE_KEY = "supadesk-intake-secret", "supadesk-supabase-secret-key"


def test_values_come_from_the_environment_and_the_intake_secret_is_made_up(
    cloud: Cloud, set_up: SetUp
) -> None:
    result = set_up(RESEND_API_KEY="re_4711")

    assert cloud.value("supadesk-resend-api-key") == "re_4711"
    assert len(cloud.value(INTAKE)) >= 32
    assert "supadesk-smtp-url" not in cloud.secrets
    for secret in cloud.secrets:
        assert cloud.value(secret) not in result.says + result.errors


def test_without_a_value_nothing_is_changed_and_each_is_named(cloud: Cloud, set_up: SetUp) -> None:
    result = set_up(SUPABASE_SECRET_KEY=None, RESEND_API_KEY=" ")

    assert result.code == 1
    assert "no value yet for SUPABASE_SECRET_KEY, one of RESEND_API_KEY and SMTP_URL" in result.errors
    assert cloud.changes == []


def test_a_plan_tells_of_values_that_are_missing(cloud: Cloud, set_up: SetUp) -> None:
    result = set_up("--plan", SUPABASE_SECRET_KEY=None)
    assert result.code == 0
    assert "To be settled first: no value yet for SUPABASE_SECRET_KEY" in result.says


@pytest.mark.parametrize("value", ["schlüssel", "a\tb"])
def test_a_value_that_no_key_has_is_refused_without_being_shown(
    cloud: Cloud, set_up: SetUp, value: str
) -> None:
    result = set_up(SUPABASE_SECRET_KEY=value)

    assert result.code == 1
    assert "SUPABASE_SECRET_KEY" in result.errors
    assert value not in result.says + result.errors
    assert cloud.changes == []


def test_of_two_ways_to_send_mail_one_has_to_be_chosen(cloud: Cloud, set_up: SetUp) -> None:
    both = set_up(RESEND_API_KEY="re_4711", SMTP_URL="smtps://mail.example.com")
    assert (both.code, cloud.changes) == (1, [])
    assert "takes only one of RESEND_API_KEY and SMTP_URL" in both.errors

    set_up(RESEND_API_KEY="re_4711")
    assert set_up(RESEND_API_KEY=None, SMTP_URL="smtps://mail.example.com").code == 1
    del cloud.secrets["supadesk-resend-api-key"]
    assert set_up(RESEND_API_KEY=None, SMTP_URL="smtps://mail.example.com").code == 0
    assert cloud.value("supadesk-smtp-url") == "smtps://mail.example.com"


def test_once_they_are_stored_the_environment_need_not_have_them(cloud: Cloud, set_up: SetUp) -> None:
    set_up()
    result = set_up(SUPABASE_SECRET_KEY=None, RESEND_API_KEY=None)
    assert (result.code, result.lines_of_changes) == (0, [])


def test_a_secret_that_may_be_missing_is_not_demanded(
    cloud: Cloud, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    [sweep] = [function for function in read_table() if function.name == "sla-sweep"]
    lenient = sweep.model_copy(update={"secrets": ("PARTNERS",), "optional": ("PARTNERS",)})
    monkeypatch.setattr(setup, "read_table", lambda: [lenient])

    assert set_up().code == 0
    assert cloud.secrets == {}
    assert set_up(PARTNERS="acme whsec_1\nemca whsec_2").code == 0
    assert cloud.value("supadesk-partners") == "acme whsec_1\nemca whsec_2"


def test_only_another_value_makes_another_version(cloud: Cloud, set_up: SetUp) -> None:
    set_up()
    cloud.serve("sla-sweep")
    set_up()
    assert len(cloud.secrets[STORE_KEY]) == 1
    result = set_up(SUPABASE_SECRET_KEY="sb_secret_other")

    assert len(cloud.secrets[STORE_KEY]) == 2
    assert "to deploy: sla-sweep" in result.says


def test_a_version_that_was_switched_off_is_no_value(cloud: Cloud, set_up: SetUp) -> None:
    set_up()
    cloud.secrets[STORE_KEY][-1]["state"] = "DISABLED"
    assert set_up(SUPABASE_SECRET_KEY=None).code == 1
    assert set_up(SUPABASE_SECRET_KEY="sb_secret_newer").code == 0
    assert cloud.value(STORE_KEY) == "sb_secret_newer"


def test_rotating_adds_a_version_and_tells_which_functions_to_deploy(cloud: Cloud, set_up: SetUp) -> None:
    set_up()
    for function in read_table():
        cloud.serve(function.name)
    result = set_up("--rotate", "SUPABASE_SECRET_KEY", SUPABASE_SECRET_KEY="sb_secret_other")

    assert result.code == 0, result.errors
    assert cloud.value(STORE_KEY) == "sb_secret_other"
    takers = [function.name for function in read_table() if "SUPABASE_SECRET_KEY" in function.secrets]
    assert f"to deploy: {' '.join(takers)}\n" in result.says
    assert "sb_secret_other" not in result.says
    assert (
        "is what it was"
        in set_up("--rotate", "SUPABASE_SECRET_KEY", SUPABASE_SECRET_KEY="sb_secret_other").says
    )
    assert len(cloud.secrets[STORE_KEY]) == 2


def test_rotating_the_intake_secret_makes_one_up(cloud: Cloud, set_up: SetUp) -> None:
    set_up()
    old = cloud.value(INTAKE)
    result = set_up("--rotate", "INTAKE_SECRET")

    assert cloud.value(INTAKE) != old
    assert cloud.value(INTAKE) not in result.says
    assert "--intake | psql" in result.says


def test_what_is_no_secret_or_not_made_yet_cannot_be_rotated(cloud: Cloud, set_up: SetUp) -> None:
    assert "is none of the secrets: " in set_up("--rotate", "DESK_URL").errors
    cloud.apis.add("secretmanager")
    assert "set up first" in set_up("--rotate", "SUPABASE_SECRET_KEY").errors
    assert cloud.changes == []


def test_the_database_learns_the_hash_that_lets_create_ticket_in(
    cloud: Cloud, set_up: SetUp, stack: RunningStack, db: Connection
) -> None:
    secret = stack.stack.keys.intake_secret
    set_up(INTAKE_SECRET=secret)
    statement = set_up("--intake").says
    look = "select value from desk_private.settings where key = 'intake_secret_sha256'"
    before = db.execute(look).fetchone()

    assert secret not in statement
    with db.transaction(), psycopg.ClientCursor(db) as cursor:
        db.execute("select desk_private.set_setting('intake_secret_sha256', '\"another\"')")
        cursor.execute(statement.encode())
        assert db.execute(look).fetchone() == before


def test_a_secret_that_no_function_names_any_more_is_read_by_nobody(
    cloud: Cloud, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    without = [function.model_copy(update={"secrets": (), "one_of": ()}) for function in read_table()]
    monkeypatch.setattr(setup, "read_table", lambda: without)
    set_up()

    for secret in cloud.secrets:
        assert cloud.members(f"secrets/{secret}", "roles/secretmanager.secretAccessor") == set()
        assert cloud.members(f"secrets/{secret}", "roles/secretmanager.viewer") == set()


def test_at_a_terminal_a_value_is_asked_for_and_not_shown(cloud: Cloud, setup_env: dict[str, str]) -> None:
    env = {**os.environ, **setup_env}
    del env["SUPABASE_SECRET_KEY"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.setup"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        impatience = Timer(60, process.kill)
        impatience.start()
        try:
            while chunk := os.read(ours, 1000):
                shown += chunk
                # What is optional stays without a value.
                if chunk.endswith(b"): "):
                    os.write(ours, b"sb_secret_typed\n" if b"SUPABASE_SECRET_KEY" in chunk else b"\n")
        except OSError:
            pass  # That is how Linux says that nobody holds the other end any more.
        impatience.cancel()
    os.close(ours)

    assert process.returncode == 0, shown.decode()
    assert cloud.value(STORE_KEY) == "sb_secret_typed"
    assert b"sb_secret_typed" not in shown
