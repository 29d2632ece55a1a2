"""The version of the program, in its one place."""

VERSION = "2.0.0"
