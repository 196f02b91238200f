"""Sets a Google Cloud project up for Supadesk, idempotently.

Each part reads the current state and yields missing changes one at a time, so that it sees what earlier parts
created. `--plan` only prints them.
"""
