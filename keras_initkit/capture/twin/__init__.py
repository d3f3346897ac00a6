"""What makes the watched twin of a step the step that Keras would have run.

It does what the first trace of the step did, draws the random numbers that it draws,
heeds the settings that it heeded, and takes one batch in place of an iterator.
"""
