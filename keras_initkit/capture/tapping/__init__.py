"""What taps a step and collects what it shows: layers, optimizers, replicas, reading.

The room knows what is tapped and how tensors become statistics; it knows nothing of who
wants them, nor of the twin of a step that the taps are in.
"""
