"""Linear: its API, what goes there, what comes back."""
