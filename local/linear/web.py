"""Serves pages that list the issues and let a person act as an engineer: move, comment, delete, restore."""

from collections import Counter
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from local.linear.errors import LinearError
from local.linear.records import Row
from local.linear.seed import ENGINEER
from local.linear.workspace import PRIORITIES, Workspace

MAX_LISTED = 200
STYLE = """
  :root { color-scheme: light dark;
          --line: light-dark(#d9dbe0, #3a3d45); --quiet: light-dark(#5b6070, #a3a8b8); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  header p, .quiet, time { color: var(--quiet); }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0;
           border-bottom: 1px solid var(--line); }
  td:nth-child(1), td:nth-child(3), td:nth-child(6) { white-space: nowrap; }
  pre { font: .9rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
        margin: .5rem 0; padding: .8rem; border: 1px solid var(--line); border-radius: .4rem; }
  form { margin: .8rem 0; }
  label { display: block; font-weight: 600; }
  textarea { width: 100%; box-sizing: border-box; }
  textarea, select, button { font: inherit; padding: .3rem .6rem; margin: .2rem 0; }
  article { margin: 1.2rem 0; }
  @media (max-width: 40rem) {
    th:nth-child(4), td:nth-child(4), th:nth-child(6), td:nth-child(6) { display: none; }
  }
  .dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
"""
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class IssuePages:
    """Serves the list at the root, and a page for each issue."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._records = workspace.records

    def routes(self) -> list[Route]:
        """Returns the routes."""
        return [
            Route("/", self.issues),
            Route("/issue/{identifier}", self.issue),
            Route("/issue/{identifier}/{action}", self.act, methods=["POST"]),
        ]

    async def issues(self, request: Request) -> Response:
        """Lists all issues, the latest change first."""
        comments = Counter(row["issueId"] for row in self._records.all("Comment"))
        rows = sorted(self._records.all("Issue"), key=lambda row: row["updatedAt"], reverse=True)
        lines = "".join(self._line(row, comments[row["id"]]) for row in rows[:MAX_LISTED])
        names = ("Issue", "Title", "State", "Priority", "Comments", "Changed")
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        shown = (
            f"<p class=quiet>The latest {MAX_LISTED} of {len(rows)}.</p>" if len(rows) > MAX_LISTED else ""
        )
        nothing = "<p>No issues yet. File a ticket, and it appears here.</p>"
        return _page("Issues", (table + shown) if rows else nothing)

    async def issue(self, request: Request) -> Response:
        """Shows an issue with its forms."""
        issue = self._workspace.find_issue(request.path_params["identifier"])
        if issue is None:
            return _page("No such issue", "<p>There is no issue with this identifier.</p>", 404)
        comments = self._records.where("Comment", "issueId", issue["id"])
        links = self._records.where("Attachment", "issueId", issue["id"])
        parts = [
            self._facts(issue),
            self._restore_form(issue) if issue["trashed"] else self._state_form(issue),
            f"<h2>Description</h2><pre>{escape(issue['description'] or '')}</pre>",
            "<h2>Links</h2><ul>" + "".join(_link(link) for link in links) + "</ul>" if links else "",
            f"<h2>Comments ({len(comments)})</h2>" + "".join(self._comment(comment) for comment in comments),
            _comment_form(issue),
            "" if issue["trashed"] else _button(issue, "delete", "Delete this issue"),
        ]
        return _page(f"{issue['identifier']} {issue['title']}", "".join(parts))

    async def act(self, request: Request) -> Response:
        """Handles a form as the engineer."""
        # Against cross-site request forgery: browsers name the origin of a form in this header.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _page("Forbidden", "<p>Only this page's own forms may do that.</p>", 403)
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True)
        values = {name: entries[0] for name, entries in fields.items()}
        key = request.path_params["identifier"]
        try:
            self._act(request.path_params["action"], key, values)
        except LinearError as error:
            detail = escape(str(error.extensions["userPresentableMessage"]))
            back = f'<p><a href="/issue/{escape(key)}">Back</a></p>'
            return _page("Not done", f'<p role="alert">{detail}</p>{back}', 400)
        return RedirectResponse(f"/issue/{key}", 303)

    def _act(self, action: str, key: str, values: Row) -> None:
        if action == "state":
            self._workspace.update_issue(key, {"stateId": values.get("stateId", "")}, ENGINEER)
        elif action == "comments":
            self._workspace.create_comment({"issueId": key, "body": values.get("body")}, ENGINEER)
        elif action in ("delete", "restore"):
            self._workspace.update_issue(key, {"trashed": action == "delete"}, ENGINEER)
        else:
            raise LinearError("Unknown action", f"There is no action called {action}.")

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
        if issue["trashed"]:
            return "Deleted"
        state = self._workspace.get("WorkflowState", issue["stateId"])
        return f'<span class=dot style="background: {state["color"]}"></span>{escape(state["name"])}'

    def _facts(self, issue: Row) -> str:
        author = self._author(issue, "creatorId")
        priority, created = PRIORITIES[issue["priority"]], _time(issue["createdAt"])
        return f"<p class=quiet>{priority} · {author} · {created}</p>"

    def _author(self, row: Row, name: str) -> str:
        user = self._records.find("User", row[name])
        return escape(user["name"] if user else row["botActor"]["userDisplayName"] or row["botActor"]["name"])

    def _state_form(self, issue: Row) -> str:
        options = "".join(
            f'<option value="{state["id"]}"{selected}>{escape(state["name"])}</option>'
            for state in self._workspace.states(issue["teamId"])
            for selected in [" selected" if state["id"] == issue["stateId"] else ""]
        )
        return (
            f'<form method=post action="/issue/{issue["identifier"]}/state"><label for=state>State</label>'
            f"<select id=state name=stateId>{options}</select> <button>Move</button></form>"
        )

    def _restore_form(self, issue: Row) -> str:
        return f"<p>Deleted {_time(issue['archivedAt'])}</p>" + _button(issue, "restore", "Restore")

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
    # Linear accepts any scheme; a page that links javascript: would run it.
    if attachment["url"].startswith(("https://", "http://")):
        return f'<li><a href="{url}" rel="noopener noreferrer">{title}</a>{about}</li>'
    return f"<li>{title} {url}{about}</li>"


def _time(timestamp: str) -> str:
    return f'<time datetime="{timestamp}">{timestamp[:16].replace("T", " ")}</time>'


def _page(title: str, body: str, status: int = 200) -> Response:
    back = "" if title == "Issues" else '<a href="/">All issues</a> · '
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><header><p>{back}Local fake of Linear</p><h1>{escape(title)}</h1></header>"
        f"<main>{body}</main></body></html>",
        status,
        SECURITY_HEADERS,
    )
