"""From footage that nobody labeled to a model adapted to it: the verb `adapt`."""
