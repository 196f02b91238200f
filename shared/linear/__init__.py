"""Talks to Linear: its API client, forwarding, polling and dispatch."""
