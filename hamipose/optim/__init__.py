"""The Hamiltonian optimizer: the class in `hamiltonian`, its equations in `mechanics`."""

from hamipose.optim.hamiltonian import Hamiltonian

__all__ = ["Hamiltonian"]
