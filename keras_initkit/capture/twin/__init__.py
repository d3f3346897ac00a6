"""The watched twin of a step: made, traced, and the step that Keras would have run.

It is a copy of the step's graph, or does what the first trace of the step did, draws
the random numbers that it draws and heeds the settings that it heeded; and it takes one
batch in place of an iterator. The room knows what is tapped and who listens; it does
not know who runs the twins.
"""
