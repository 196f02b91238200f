"""The database as tests ask it: rows of whatever the statement selects."""

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
