"""What a model is made of, said once: layers, weights and their roles, graph, state.

The room knows Keras's layers and what Keras keeps to itself; it knows nothing of what
the rest of the package does with them.
"""

from keras_initkit.structure.roles import register as register
from keras_initkit.structure.roles import roles_of as roles_of

__all__ = ["register", "roles_of"]
