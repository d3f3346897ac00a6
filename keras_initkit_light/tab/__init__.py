"""The InitKit tab of TensorBoard: what it reads of event files, and its pages."""
