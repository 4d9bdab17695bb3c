"""The paper's table of mesh recovery, and the runs it consists of: ``python -m meshtto experiments``."""
