"""Handles the routes of Auth."""
