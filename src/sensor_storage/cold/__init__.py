"""The cold store: where sealed files go, proof that they are there, and the way back."""
