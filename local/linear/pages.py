"""The page on which a person sees what the desk has sent, and answers as an engineer would."""

from collections import Counter
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from local.linear.records import Row
from local.linear.refusals import Refusal
from local.linear.seed import ENGINEER
from local.linear.workspace import PRIORITIES, Workspace

MOST = 200
STYLE = """
  :root { color-scheme: light dark; --line: light-dark(#d9dbe0, #3a3d45); --quiet: light-dark(#5b6070, #a3a8b8); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  header p, .quiet, time { color: var(--quiet); }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
  td:nth-child(1), td:nth-child(3), td:nth-child(6) { white-space: nowrap; }
  pre { font: .9rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0;
        padding: .8rem; border: 1px solid var(--line); border-radius: .4rem; }
  form { margin: .8rem 0; }
  label { display: block; font-weight: 600; }
  textarea { width: 100%; box-sizing: border-box; }
  textarea, select, button { font: inherit; padding: .3rem .6rem; margin: .2rem 0; }
  article { margin: 1.2rem 0; }
  @media (max-width: 40rem) { th:nth-child(4), td:nth-child(4), th:nth-child(6), td:nth-child(6) { display: none; } }
  .dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
"""
SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Pages:
    """The list at the root, and one page for every issue."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._records = workspace.records

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/", self.issues),
            Route("/issue/{identifier}", self.issue),
            Route("/issue/{identifier}/{action}", self.act, methods=["POST"]),
        ]

    async def issues(self, request: Request) -> Response:
        """Everything there is, the latest change first."""
        comments = Counter(row["issueId"] for row in self._records.all("Comment"))
        rows = sorted(self._records.all("Issue"), key=lambda row: row["updatedAt"], reverse=True)
        lines = "".join(self._line(row, comments[row["id"]]) for row in rows[:MOST])
        names = ("Issue", "Title", "State", "Priority", "Comments", "Changed")
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        shown = f"<p class=quiet>The latest {MOST} of {len(rows)}.</p>" if len(rows) > MOST else ""
        nothing = "<p>No issues yet. File a ticket, and it appears here.</p>"
        return _page("Issues", (table + shown) if rows else nothing)

    async def issue(self, request: Request) -> Response:
        """One issue with all that can be done to it."""
        issue = self._workspace.find_issue(request.path_params["identifier"])
        if issue is None:
            return _page("No such issue", "<p>It may be gone for good.</p>", 404)
        comments = self._records.where("Comment", "issueId", issue["id"])
        links = self._records.where("Attachment", "issueId", issue["id"])
        parts = [
            self._facts(issue),
            self._fate(issue) if issue["archivedAt"] else self._state_form(issue),
            f"<h2>Description</h2><pre>{escape(issue['description'] or '')}</pre>",
            "<h2>Links</h2><ul>" + "".join(_link(each) for each in links) + "</ul>" if links else "",
            f"<h2>Comments ({len(comments)})</h2>" + "".join(self._comment(each) for each in comments),
            _comment_form(issue),
            "" if issue["archivedAt"] else _button(issue, "delete", "Delete this issue"),
        ]
        return _page(f"{issue['identifier']} {issue['title']}", "".join(parts))

    async def act(self, request: Request) -> Response:
        """What the forms ask for, as the engineer."""
        # A browser says so when the form stands on somebody else's page.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _page("Not from there", "<p>Only this page's own forms may do that.</p>", 403)
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True)
        given = {name: values[0] for name, values in fields.items()}
        key = request.path_params["identifier"]
        try:
            self._do(request.path_params["action"], key, given)
        except Refusal as refusal:
            told = escape(str(refusal.extensions["userPresentableMessage"]))
            return _page(
                "Not done", f'<p role="alert">{told}</p><p><a href="/issue/{escape(key)}">Back</a></p>', 400
            )
        return RedirectResponse(f"/issue/{key}", 303)

    def _do(self, action: str, key: str, given: Row) -> None:
        if action == "state":
            self._workspace.update_issue(key, {"stateId": given.get("stateId", "")}, ENGINEER)
        elif action == "comments":
            self._workspace.create_comment({"issueId": key, "body": given.get("body")}, ENGINEER)
        elif action == "delete":
            self._workspace.archive_issue(key, ENGINEER, trash=True)
        elif action == "restore":
            self._workspace.restore_issue(key, ENGINEER)
        else:
            raise Refusal("Unknown action", f"There is no action called {action}.")

    def _line(self, issue: Row, comments: int) -> str:
        link = f'<a href="/issue/{issue["identifier"]}">{issue["identifier"]}</a>'
        cells = (
            link,
            escape(issue["title"]),
            self._state(issue),
            PRIORITIES[issue["priority"]],
            str(comments),
            _time(issue["updatedAt"]),
        )
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    def _state(self, issue: Row) -> str:
        if issue["archivedAt"]:
            return "Deleted" if issue["trashed"] else "Archived"
        state = self._workspace.get("WorkflowState", issue["stateId"])
        return f'<span class=dot style="background: {state["color"]}"></span>{escape(state["name"])}'

    def _facts(self, issue: Row) -> str:
        who = self._author(issue, "creatorId")
        return f"<p class=quiet>{PRIORITIES[issue['priority']]} · {who} · {_time(issue['createdAt'])}</p>"

    def _author(self, row: Row, name: str) -> str:
        user = self._records.find("User", row[name])
        return escape(user["name"] if user else row["botActor"]["userDisplayName"] or row["botActor"]["name"])

    def _state_form(self, issue: Row) -> str:
        options = "".join(
            f'<option value="{state["id"]}"{" selected" if state["id"] == issue["stateId"] else ""}>{escape(state["name"])}</option>'
            for state in self._workspace.states(issue["teamId"])
        )
        return (
            f'<form method=post action="/issue/{issue["identifier"]}/state"><label for=state>State</label>'
            f"<select id=state name=stateId>{options}</select> <button>Move</button></form>"
        )

    def _fate(self, issue: Row) -> str:
        return f"<p>{self._state(issue)} {_time(issue['archivedAt'])}</p>" + _button(
            issue, "restore", "Restore"
        )

    def _comment(self, comment: Row) -> str:
        about = f"<strong>{self._author(comment, 'userId')}</strong> {_time(comment['createdAt'])}"
        return (
            f'<article id="comment-{comment["id"][:8]}">{about}<pre>{escape(comment["body"])}</pre></article>'
        )


def _comment_form(issue: Row) -> str:
    return (
        f'<form method=post action="/issue/{issue["identifier"]}/comments">'
        "<label for=body>Comment as an engineer</label>"
        "<textarea id=body name=body rows=4 required></textarea><button>Comment</button></form>"
    )


def _button(issue: Row, action: str, text: str) -> str:
    return f'<form method=post action="/issue/{issue["identifier"]}/{action}"><button>{text}</button></form>'


def _link(attachment: Row) -> str:
    url, title = escape(attachment["url"]), escape(attachment["title"])
    about = f" <span class=quiet>{escape(attachment['subtitle'] or '')}</span>"
    # Linear takes any scheme; a page had better not.
    if attachment["url"].startswith(("https://", "http://")):
        return f'<li><a href="{url}" rel="noopener noreferrer">{title}</a>{about}</li>'
    return f"<li>{title} {url}{about}</li>"


def _time(moment: str) -> str:
    return f'<time datetime="{moment}">{moment[:16].replace("T", " ")}</time>'


def _page(title: str, body: str, status: int = 200) -> Response:
    back = "" if title == "Issues" else '<a href="/">All issues</a> · '
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><header><p>{back}Local double of Linear</p><h1>{escape(title)}</h1></header><main>{body}</main></body></html>",
        status,
        SAFE,
    )
