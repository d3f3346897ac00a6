"""What the event files and the TensorBoard tab of `keras_initkit` share.

A package of its own, because TensorBoard imports its plugins when it starts: nothing
here imports keras, tensorflow or `keras_initkit`.
"""
