"""What is kept in the output bucket: checkpoints, status lines, quarantine; and the metrics."""
