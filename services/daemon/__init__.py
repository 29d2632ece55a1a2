"""The process over its hours: rounds of iterations, the display, its health."""
