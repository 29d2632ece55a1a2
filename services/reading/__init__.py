"""Reads what the two services hold, again until an answer can be believed."""
