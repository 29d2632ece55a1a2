"""An object's bytes to lines, lines to events, events to batches."""
