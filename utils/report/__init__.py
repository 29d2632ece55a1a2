"""The words and documents that people and programs read."""
