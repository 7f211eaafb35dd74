"""Read the class lists that learning platforms export, and match submissions with their rows."""
