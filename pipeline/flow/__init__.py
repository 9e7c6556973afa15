"""Optical flow of consecutive frames, stored as images of the x and the y motion."""
