"""Models of what callers send, and the confirmations they get."""
