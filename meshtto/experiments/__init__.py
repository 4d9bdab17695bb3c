"""The paper's table of mesh recovery, and the runs that it lacks: ``python -m meshtto report``."""
