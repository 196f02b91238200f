"""What every function is deployed with."""
