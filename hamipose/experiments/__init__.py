"""The paper's tables and figures of 2D pose: their rows, runs and results (verb `experiments`)."""
