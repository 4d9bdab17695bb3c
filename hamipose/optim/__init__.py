"""The Hamiltonian optimizer: its state in `hamiltonian`, its equations in `mechanics`."""

from hamipose.optim.hamiltonian import Hamiltonian

__all__ = ["Hamiltonian"]
