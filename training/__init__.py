"""Learns the classifier of shared/triage/triage.model from tickets of one's own: `make train`."""
