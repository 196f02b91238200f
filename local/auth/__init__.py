"""Supabase Auth for this machine: accounts, sessions, keys."""
