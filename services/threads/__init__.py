"""Work side by side: pools, read-ahead, a bounded stop."""
