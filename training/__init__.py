"""Trains the classifier of shared/triage/triage.model from labelled tickets: `make train`."""
