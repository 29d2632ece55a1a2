"""One iteration of one source, from what is due to what is acknowledged."""
