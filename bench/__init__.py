"""Measures the project's claims about speed, as ratios within one run."""
