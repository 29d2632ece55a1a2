"""The bucket against the log streams, without the checkpoint: sums first, then line by line."""
