"""Writes the pages of the site that come from the code."""
