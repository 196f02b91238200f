"""Google's part for this machine: the metadata server and Cloud Scheduler."""
