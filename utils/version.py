"""The version of the program, in its one place."""

VERSION = "1.0.0"
