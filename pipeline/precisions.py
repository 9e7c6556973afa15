"""The number formats that a network's forward pass can be done in."""

PRECISIONS = ("auto", "float32", "bfloat16")
"""What auto is depends on who asks.

Labelling and scoring teachers: bfloat16 where the GPU or the processor computes in it, float32 elsewhere
(`pipeline.label.teacher_loading.choose_precision`). Training and evaluating students: bfloat16 on any GPU, float32
elsewhere (`pipeline.training.precision.autocast`).
"""
