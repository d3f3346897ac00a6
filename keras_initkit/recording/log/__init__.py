"""The log: what a record writes to disk or remote storage, and reads back."""
