"""What an operator is told of its own accord: rules over figures, and who hears when they hold."""
