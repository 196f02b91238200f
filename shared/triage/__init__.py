"""Decides whether a conversation needs a person, and what it is about."""
