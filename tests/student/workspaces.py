"""The smallest training run that a command makes."""

SMALL = ["--recipe", "small", "--backbone", "squeezenet1_1", "--loader-workers", "0"]
for change in ("input_size=48", "epochs=2", "batch_size=2", "micro_batch=2", "milestones=[]", "log_every=1"):
    SMALL += ["--set", change]
