"""What people see on the terminal; the only room that imports rich."""
