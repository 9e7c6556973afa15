"""The number formats that a network's forward pass can be done in."""

PRECISIONS = ("auto", "float32", "bfloat16")
"""auto is bfloat16 on a GPU and float32 elsewhere."""
