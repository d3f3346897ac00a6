"""The format of records: its words, its tags, and how steps are packed into chunks.

Writer (`keras_initkit.recording`) and reader (the tab) share it and nothing else.
"""
