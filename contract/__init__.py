"""Holds the contract of the public functions: openapi.json, its generators and the models of answers."""
