"""Reads the table of functions, and refuses a wrong one."""

import pytest

from deploy.table import DeployError, check_folders, read_table
from local.functions import load_functions
from tests.deploy.google.project import Project


def refusal(project: Project) -> str:
    """Returns the refusal of the table of the project's checkout."""
    with pytest.raises(DeployError) as refused:
        read_table(project.root / "deploy" / "functions.toml")
    return str(refused.value)


def test_no_function_for_people_can_do_more_than_its_caller() -> None:
    for function in load_functions():
        if not function.is_private:
            powerful = {"SUPABASE_SECRET_KEY", "LINEAR_API_KEY"} & set(function.variables)
            allowed = {"SUPABASE_SECRET_KEY"} if function.name == "receive-webhook" else set()
            assert powerful <= allowed, function.name


def test_secrets_are_given_as_secrets() -> None:
    secret = {name for function in load_functions() for name in function.secrets}
    for function in load_functions():
        assert not secret & set(function.env)
        assert {"SUPABASE_SECRET_KEY", "LINEAR_API_KEY", "RESEND_API_KEY", "SMTP_URL"}.isdisjoint(
            function.env
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('memmory = "1Gi"', "[functions.add-message] memmory: "),
        ('memory = "lots"', "[functions.add-message] memory: "),
        ('timeout = "30"', "[functions.add-message] timeout: "),
        ("min_instances = 11", "min_instances is more than max_instances"),
        ('schedule = "* * * * *"', "only private functions have these: schedule"),
        ('invokers = ["sla-sweep"]', "only private functions have these: invokers"),
        ('env = ["AUDIENCE"]', "only private functions have these: AUDIENCE"),
        ('secrets = ["SUPABASE_URL"]', "env and secrets name the same variable: SUPABASE_URL"),
        ('one_of = ["SMTP_URL"]', "one_of names what is not in secrets: SMTP_URL"),
        ('optional = ["REPLY_TO"]', "optional names what is in neither env nor secrets: REPLY_TO"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(project: Project, line: str, said: str) -> None:
    project.edit("deploy/functions.toml", "[functions.add-message]", f"[functions.add-message]\n{line}")
    assert said in refusal(project)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('access = "public"', 'access = "open"', "[functions.create-ticket] access: "),
        ('memory = "256Mi"\n', "", "[functions.create-ticket] memory: Field required"),
        ('env = ["AUDIENCE", "INVOKERS"]', 'env = ["AUDIENCE"]', "needs these in env: INVOKERS"),
        ("[functions.sla-sweep]", '[functions.sla-sweep]\ninvokers = ["nobody"]', "no function nobody"),
        ("[functions.add-message]", "[functions.add_message]", "[functions.add_message] name: "),
        ("pool = 10", "pool = 0", "[store] pool: "),
        ("[store]", "[shop]", "there is no [store]"),
        ("[store]", "[store", "functions.toml: "),
    ],
)
def test_so_is_a_table(project: Project, old: str, new: str, said: str) -> None:
    project.edit("deploy/functions.toml", old, new)
    assert said in refusal(project)


def test_more_requests_than_the_store_has_room_for_are_refused(project: Project) -> None:
    project.edit("deploy/functions.toml", "max_instances = 10", "max_instances = 30")
    assert "7520 requests under way, and PostgREST's pool of 10 has room for 4000" in refusal(project)


def test_a_row_and_a_folder_belong_together(project: Project) -> None:
    functions = read_table(project.root / "deploy" / "functions.toml")
    with pytest.raises(DeployError, match="functions/ has add-message: there is no row"):
        check_folders([function for function in functions if function.name != "add-message"], project.root)
    (project.root / "functions" / "add-message" / "main.py").unlink()
    with pytest.raises(DeployError, match=r"a row for add-message: there is no main\.py"):
        check_folders(functions, project.root)
