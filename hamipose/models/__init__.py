"""Networks: the pose network and its teacher."""
