"""Answers requests: routes, CORS, callers, limits, one error shape, one log line."""
