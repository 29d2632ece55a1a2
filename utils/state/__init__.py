"""What is shipped, what is under way, what is due: the checkpoint and its rules."""
