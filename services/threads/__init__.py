"""Work side by side: workers, read-ahead, a bounded stop."""
