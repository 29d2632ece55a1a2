"""The auditor's comparison: reads both witnesses, the bucket and the log streams."""
