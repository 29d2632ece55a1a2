"""What is kept in the output bucket, told and shown: checkpoints, status lines, metrics."""
