"""What starts without Keras: the format of records, the TensorBoard tab, the commands.

TensorBoard imports its plugins when it starts, and one that fails takes TensorBoard
down; a command shows its help at once. So nothing here imports Keras, TensorFlow or
`keras_initkit` before a command runs.
"""
