"""What a model is made of, said once: layers, weights and their roles, graph, state.

The room knows Keras's layers and what Keras keeps to itself; it knows nothing of what
the rest of the package does with them.
"""
