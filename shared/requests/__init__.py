"""Models requests, maps them to RPC arguments, and words confirmations."""
