"""Deploying: what is refused before anything has changed, what people get to see when, and the way back."""

import json
from collections.abc import Callable, Iterator

import pytest

from deploy.release import LABEL
from deploy.table import read_table
from tests.deploy.google.project import GATE, Answer, Project, answering, problem

NOW = ("--patience", "0")
FINE = problem(401, "unauthenticated")
BROKEN = problem(503, "not_configured")
BALANCED = (
    "deploy/functions.toml",
    "[functions.create-ticket]",
    '[functions.create-ticket]\ningress = "internal-and-cloud-load-balancing"',
)
Said = Callable[[], str]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """Returns the output for the person, on either stream, since the last call."""

    def both() -> str:
        captured = capfd.readouterr()
        return captured.out + captured.err

    return both


@pytest.fixture
def deployed(project: Project) -> Iterator[Project]:
    """add-message has been deployed once, and has changed since."""
    with answering(FINE) as url:
        project.serve("add-message", url=url, candidate=url)
        assert project.deploy("deploy", "add-message", *NOW) == 0
        project.edit(
            "functions/add-message/main.py",
            "from typing import Annotated",
            "from typing import Annotated  # changed",
        )
        yield project


def flags(call: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in call if word.startswith("--"))}


def variables(call: list[str]) -> dict[str, str]:
    separator, pairs = flags(call)["--set-env-vars"].removeprefix("^").split("^", 1)
    return dict(pair.split("=", 1) for pair in pairs.split(separator))


def test_a_public_function_is_deployed(project: Project, said: Said) -> None:
    with answering(FINE) as url:
        project.serve("create-ticket", url=url)
        assert project.deploy("deploy", "create-ticket", *NOW) == 0, said()

    [call] = project.changes
    given = flags(call)
    expected = {
        "--region": "europe-west9",
        "--project": "acme-desk",
        "--source": str(project.root / "build" / "create-ticket"),
        "--function": "create_ticket",
        "--base-image": "python312",
        "--build-service-account": "projects/acme-desk/serviceAccounts/supadesk-build@acme-desk.iam.gserviceaccount.com",
        "--service-account": "supadesk-create-ticket@acme-desk.iam.gserviceaccount.com",
        "--memory": "256Mi",
        "--cpu": "1",
        "--concurrency": "40",
        "--min": "0",
        "--max-instances": "10",
        "--timeout": "30",
        "--ingress": "all",
        "--set-secrets": "INTAKE_SECRET=supadesk-intake-secret:1",
    }
    assert given.items() >= expected.items()
    assert {"--quiet", "--no-invoker-iam-check", "--clear-custom-audiences"} <= given.keys()
    assert {"--no-traffic", "--tag", "--allow-unauthenticated"}.isdisjoint(given)
    assert variables(call) == {
        "FUNCTION_USE_ASGI": "true",
        "SUPABASE_URL": "https://acme.supabase.co",
        "SUPABASE_ANON_KEY": "sb_publishable_x",
        "ALLOWED_ORIGINS": "https://app.example.com,https://admin.example.com",
        "GOOGLE_CLOUD_PROJECT": "acme-desk",
        "LINEAR_FORWARD_AUDIENCE": "https://linear-forward.acme-desk.supadesk.internal",
    }
    assert project.serving("create-ticket") == {"create-ticket-00001-abc": 100}
    assert "create-ticket is deployed and serves.\n" in said()


def test_a_private_function_is_deployed_behind_the_gate(project: Project, said: Said) -> None:
    with answering(GATE) as url:
        project.serve("send-notifications", url=url)
        assert project.deploy("deploy", "send-notifications", *NOW) == 0, said()

    [call] = project.changes
    audience = "https://send-notifications.acme-desk.supadesk.internal"
    assert flags(call)["--set-custom-audiences"] == audience
    assert "--invoker-iam-check" in call
    assert variables(call)["AUDIENCE"] == audience
    assert variables(call)["INVOKERS"] == "supadesk-scheduler@acme-desk.iam.gserviceaccount.com"
    # The newest version is 10 and not 9, and the project sends by SMTP.
    pinned = "SUPABASE_SECRET_KEY=supadesk-supabase-secret-key:10,SMTP_URL=supadesk-smtp-url:2"
    assert flags(call)["--set-secrets"] == pinned


def test_a_later_version_gets_the_traffic_once_it_has_passed(deployed: Project, said: Said) -> None:
    assert deployed.deploy("deploy", *NOW, "add-message") == 0, said()

    _, deploy, shift = deployed.changes
    assert {"--no-traffic", "--tag=candidate", "--clear-secrets"} <= set(deploy)
    # Who calls it has not changed, and to say so again would take rights that deploying does not.
    assert {"--no-invoker-iam-check", "--invoker-iam-check"}.isdisjoint(deploy)
    assert "--to-revisions=add-message-00002-abc=100" in shift
    service = deployed.state["services"]["add-message"]
    assert service["traffic"] == {"add-message-00002-abc": 100}
    assert service["tags"] == {"previous": "add-message-00001-abc"}


def test_a_version_that_fails_gets_no_traffic(deployed: Project, said: Said) -> None:
    with answering(BROKEN) as broken:
        deployed.serve("add-message", candidate=broken)
        assert deployed.deploy("deploy", *NOW, "add-message") == 1
    assert deployed.serving("add-message") == {"add-message-00001-abc": 100}
    assert "503 not_configured; the traffic stays with add-message-00001-abc" in said()


def test_and_is_tried_again(deployed: Project, said: Said) -> None:
    with answering(BROKEN) as broken:
        deployed.serve("add-message", candidate=broken)
        deployed.deploy("deploy", *NOW, "add-message")
    with answering(FINE) as mended:
        deployed.serve("add-message", candidate=mended)
        assert deployed.deploy("deploy", *NOW, "add-message") == 0, said()
    assert deployed.serving("add-message") == {"add-message-00003-abc": 100}


def test_a_first_version_that_fails_is_told(project: Project, said: Said) -> None:
    with answering(BROKEN) as url:
        project.serve("add-message", url=url)
        assert project.deploy("deploy", *NOW, "add-message") == 1
    assert "it is the first of its name, so there is none to go back to" in said()


def test_a_private_function_that_lets_strangers_in_is_told(project: Project, said: Said) -> None:
    with answering(problem(403, "forbidden")) as url:
        project.serve("sla-sweep", url=url)
        assert project.deploy("deploy", *NOW, "sla-sweep") == 1
    assert "open to everybody" in said()


def test_a_function_that_becomes_public_is_opened(deployed: Project) -> None:
    deployed.state["services"]["add-message"]["is_public"]
    services = deployed.state["services"]
    services["add-message"]["is_public"] = False
    deployed.change(services=services)
    assert deployed.deploy("deploy", *NOW, "add-message") == 0
    assert "--no-invoker-iam-check" in deployed.changes[1]


def test_going_back_and_forth(deployed: Project, said: Said) -> None:
    deployed.deploy("deploy", *NOW, "add-message")
    said()
    assert deployed.deploy("rollback", "add-message") == 0
    assert deployed.serving("add-message") == {"add-message-00001-abc": 100}
    assert said() == "add-message is served by add-message-00001-abc again.\n"
    assert deployed.deploy("rollback", "add-message") == 0
    assert deployed.serving("add-message") == {"add-message-00002-abc": 100}


def test_there_is_no_way_back_from_the_first_version(deployed: Project, said: Said) -> None:
    assert deployed.deploy("rollback", "add-message") == 1
    assert "has served no other revision" in said()
    assert deployed.deploy("rollback", "sla-sweep") == 1
    assert "sla-sweep is not deployed in acme-desk" in said()


def test_a_build_that_fails_stops_the_rest(project: Project, said: Said) -> None:
    project.change(broken_builds=["create-ticket"])
    assert project.deploy("deploy", *NOW, "create-ticket", "add-message") == 1
    assert "ended with status 1" in (told := said())
    assert "not begun: add-message" in told
    assert project.state["services"] == {}


@pytest.mark.parametrize("missing", ["supadesk-supabase-secret-key", "supadesk-intake-secret"])
def test_a_missing_secret_stops_it_before_anything_changes(
    project: Project, said: Said, missing: str
) -> None:
    secrets = {name: versions for name, versions in project.state["secrets"].items() if name != missing}
    for there in (secrets, secrets | {missing: []}):
        project.change(secrets=there)
        assert project.deploy("deploy", *NOW) == 1
        assert f"no enabled version of {missing}" in said()
    assert project.changes == []


@pytest.mark.parametrize("ways", [[], ["supadesk-smtp-url", "supadesk-resend-api-key"]])
def test_mail_goes_out_one_way(project: Project, said: Said, ways: list[str]) -> None:
    kept = {name: [1] for name in ("supadesk-supabase-secret-key", *ways)}
    project.change(secrets=kept)
    assert project.deploy("deploy", *NOW, "send-notifications") == 1
    assert "takes one of RESEND_API_KEY and SMTP_URL" in said()
    assert project.changes == []


def test_a_missing_variable_is_named(project: Project, said: Said) -> None:
    assert project.deploy("deploy", *NOW, MAIL_FROM=None, DESK_URL=" ") == 1
    assert "send-notifications needs MAIL_FROM, DESK_URL" in said()
    assert project.calls == []


@pytest.mark.parametrize("wrong", [None, "", "Acme", "--format=x"])
def test_a_project_is_needed(project: Project, said: Said, wrong: str | None) -> None:
    for action in (("deploy",), ("select",), ("rollback", "add-message")):
        assert project.deploy(*action, GOOGLE_CLOUD_PROJECT=wrong) == 1
        assert "GOOGLE_CLOUD_PROJECT must be the id" in said()
    assert project.calls == []


def test_a_value_that_gcloud_would_split_is_refused(project: Project, said: Said) -> None:
    assert project.deploy("deploy", "add-message", ALLOWED_ORIGINS="https://a||SUPABASE_URL=https://b") == 1
    assert "ALLOWED_ORIGINS must not contain ||" in said()
    assert project.calls == []


class TestTrustedHops:
    """With more than one hop the function must not be reached around the load balancer."""

    @pytest.mark.parametrize("hops", ["2", "3"])
    def test_more_than_one_is_refused_where_anybody_calls_directly(
        self, hops: str, project: Project, said: Said
    ) -> None:
        assert project.deploy("deploy", "create-ticket", TRUSTED_HOPS=hops) == 1
        sentence = said()
        assert f"create-ticket: TRUSTED_HOPS is {hops}, and ingress in functions.toml is all" in sentence
        assert "Set ingress to internal-and-cloud-load-balancing, or TRUSTED_HOPS to 1" in sentence
        assert project.changes == []

    @pytest.mark.parametrize("hops", ["0", "1"])
    def test_one_is_deployed(self, hops: str, project: Project, said: Said) -> None:
        with answering(FINE) as url:
            project.serve("create-ticket", url=url)
            assert project.deploy("deploy", "create-ticket", *NOW, TRUSTED_HOPS=hops) == 0, said()
        assert variables(project.changes[0])["TRUSTED_HOPS"] == hops

    def test_a_load_balancer_is_the_only_way_in(self, project: Project, said: Said) -> None:
        project.edit(*BALANCED)
        with answering(Answer(404, "<html>Page not found</html>")) as url:
            project.serve("create-ticket", url=url)
            assert project.deploy("deploy", "create-ticket", *NOW, TRUSTED_HOPS="2") == 0, said()
        [call] = project.changes
        assert flags(call)["--ingress"] == "internal-and-cloud-load-balancing"
        assert variables(call)["TRUSTED_HOPS"] == "2"

    def test_a_way_around_it_fails_the_smoke_test(self, project: Project, said: Said) -> None:
        project.edit(*BALANCED)
        with answering(FINE) as url:
            project.serve("create-ticket", url=url)
            assert project.deploy("deploy", "create-ticket", *NOW, TRUSTED_HOPS="2") == 1
        assert "a call around the load balancer should be Google's 404" in said()

    def test_private_functions_do_not_read_it(self, project: Project, said: Said) -> None:
        with answering(GATE) as url:
            project.serve("sla-sweep", url=url)
            assert project.deploy("deploy", "sla-sweep", *NOW, TRUSTED_HOPS="2") == 0, said()

    def test_a_rehearsal_refuses_it_as_well(self, project: Project, said: Said) -> None:
        assert project.deploy("deploy", "--dry-run", "create-ticket", TRUSTED_HOPS="2") == 1
        assert "TRUSTED_HOPS is 2" in said()


def test_an_unknown_function_is_told_which_there_are(project: Project, said: Said) -> None:
    assert project.deploy("deploy", "add-massage") == 1
    assert "there is no function add-massage: it must be one of create-ticket, " in said()


def test_a_syntax_error_stops_it_before_anything_changes(project: Project, said: Said) -> None:
    (project.root / "shared" / "broken.py").write_text("def broken(:\n")
    assert project.deploy("deploy") == 1
    assert "shared/broken.py, line 1: invalid syntax" in said()
    assert project.calls == []


def test_a_folder_without_a_row_stops_it(project: Project, said: Said) -> None:
    (project.root / "functions" / "extra").mkdir()
    (project.root / "functions" / "extra" / "main.py").write_text("")
    assert project.deploy("deploy") == 1
    assert "functions/ has extra" in said()


def test_without_gcloud_it_says_so(project: Project, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert project.deploy("deploy") == 1
    assert "gcloud is not on the PATH" in said()


def test_without_an_account_it_says_so(project: Project, said: Said) -> None:
    project.change(accounts=[])
    assert project.deploy("deploy") == 1
    assert "gcloud is not signed in: run gcloud auth login" in said()
    assert project.changes == []


def test_a_rehearsal_shows_the_commands_and_asks_nobody(project: Project, said: Said) -> None:
    for env in ({}, dict.fromkeys(("GOOGLE_CLOUD_PROJECT", "SUPABASE_URL", "MAIL_FROM"))):
        assert project.deploy("deploy", "--dry-run", **env) == 0
        shown = said()
        assert shown.count("gcloud run deploy ") == 2 * len(read_table())
        assert shown.count(" --no-traffic --tag=candidate") == len(read_table())
        assert "SUPABASE_SECRET_KEY=supadesk-supabase-secret-key:<version>" in shown
    assert project.calls == []


def test_the_revision_says_what_it_was_made_of(deployed: Project) -> None:
    hashes = {revision["metadata"]["labels"][LABEL] for revision in deployed.state["revisions"].values()}
    assert [len(label) for label in hashes] == [40]
    assert f"--update-labels={LABEL}={hashes.pop()}" in deployed.changes[0]


def test_what_is_selected_is_json(project: Project, said: Said) -> None:
    assert project.deploy("select", "add-message") == 0
    assert json.loads(said()) == ["add-message"]
