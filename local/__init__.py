"""The embedded Supabase: what `make run` serves and what the tests run on."""
