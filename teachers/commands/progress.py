"""Progress of the teacher commands on stderr."""

import logging


def show_progress() -> None:
    """Send the teachers' progress to stderr."""
    logger = logging.getLogger("teachers")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
