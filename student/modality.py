"""What a student sees of a video: colours, or motion."""

MODALITIES = ("rgb", "flow")

# Flows that are seen together, each of an x and a y.
NUM_PAIRS = 5
NUM_CHANNELS = {"rgb": 3, "flow": 2 * NUM_PAIRS}

# The flow stream's changes to a recipe of RGB: TSN alone, its dropout, and no crop as small as .66.
FLOW_CHANGES = ("modality=flow", "model=tsn", "dropout=0.7", "scales=1,0.875,0.75")
