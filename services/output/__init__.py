"""What is kept in the output bucket: checkpoints, status lines, quarantine."""
