"""Adaptation of a pose model to unlabeled footage: the implementation of the verb `adapt`."""
