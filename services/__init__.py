"""The I/O shell: it alone speaks to Lyve Cloud and AWS."""
