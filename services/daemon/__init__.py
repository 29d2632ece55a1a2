"""The daemon over its hours: iterations of all sources, the display, its health."""
