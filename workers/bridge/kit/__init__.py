"""What an operator is made of, whatever kind of resource it is for: list and watch, queue, controller, Lease."""
