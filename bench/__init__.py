"""Timed things: what the project claims to be fast at, measured as ratios inside one run."""
