"""Runs the embedded stack for `make run`, tests and benchmarks: Supabase, functions, fakes."""
