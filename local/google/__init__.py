"""Emulates Google Cloud's metadata server and Cloud Scheduler."""
