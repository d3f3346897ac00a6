"""The InitKit tab of TensorBoard, and what it shares with the writer of event files.

A package of its own, because TensorBoard imports its plugins when it starts, and one
that fails takes TensorBoard down: nothing here imports keras, tensorflow or
`keras_initkit`.
"""
