"""Routes below a function's own name, declared as "GET /{ticket}"."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from shared.errors import MethodNotAllowed, NotFound

DECLARED = re.compile(r"(GET|POST|PUT|PATCH|DELETE) /(([a-z-]+|\{[a-z]+\})(/|$))*")


class Route(NamedTuple):
    declared: str
    method: str
    segments: tuple[str, ...]

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The values of the {placeholders}, or None where the path is another one."""
        if len(segments) != len(self.segments):
            return None
        values = {}
        for ours, theirs in zip(self.segments, segments, strict=True):
            if ours.startswith("{"):
                values[ours[1:-1]] = theirs
            elif ours != theirs:
                return None
        return values


class Routes:
    def __init__(self, name: str, declared: Sequence[str]) -> None:
        self._name = name
        # Literal paths first: /categories is no {ticket}.
        self._routes = sorted((_route(text) for text in declared), key=lambda route: "{" in route.declared)
        _require_distinct(self._routes)

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        """The declared route and its values; NotFound or MethodNotAllowed where there is none."""
        segments = self._below(path)
        wanted = "GET" if method == "HEAD" else method
        for route in self._routes:
            values = route.match(segments) if route.method == wanted else None
            if values is not None:
                return route.declared, values
        raise MethodNotAllowed(self.methods(path))

    def methods(self, path: str) -> list[str]:
        """What the path can be asked with; NotFound where nothing is."""
        segments = self._below(path)
        found = {route.method for route in self._routes if route.match(segments) is not None}
        if not found:
            raise NotFound
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    def _below(self, path: str) -> list[str]:
        """The segments below the function's name, which is there on cloudfunctions.net and not on run.app."""
        segments = [segment for segment in path.split("/") if segment]
        return segments[1:] if segments[:1] == [self._name] else segments


def _require_distinct(routes: Sequence[Route]) -> None:
    """No request matches two routes of one shape: the second would never get one."""
    shapes: dict[tuple[str, ...], str] = {}
    for route in routes:
        shape = (route.method, *("{}" if part.startswith("{") else part for part in route.segments))
        if shape in shapes:
            raise ValueError(f"{route.declared!r} and {shapes[shape]!r} are the same route")
        shapes[shape] = route.declared


def _route(declared: str) -> Route:
    if not DECLARED.fullmatch(declared):
        raise ValueError(f"{declared!r} is no route: write it like 'GET /{{ticket}}/messages'")
    method, _, path = declared.partition(" ")
    return Route(declared, method, tuple(segment for segment in path.split("/") if segment))
