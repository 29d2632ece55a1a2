"""The daemon over its hours: iterations of all sources, and its health."""
