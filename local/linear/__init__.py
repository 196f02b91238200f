"""Fakes Linear: the part of its GraphQL API that Supadesk uses, signed webhooks, and a page for engineers."""
