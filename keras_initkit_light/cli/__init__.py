"""The command line: `keras-initkit`, thin over the package.

Importing this room imports neither Keras nor TensorFlow: every command imports what it
needs when it runs.
"""
