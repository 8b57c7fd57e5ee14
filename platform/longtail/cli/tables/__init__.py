"""Tables as the terminal shows them: one module for each kind of result."""
