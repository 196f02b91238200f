"""Answers requests: routes, CORS, identity, limits, one error shape, one log line."""
