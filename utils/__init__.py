"""The pure core: no network, no clock, no files."""
