"""The paper's table of mesh recovery: its rows, runs and results (verb `experiments`)."""
