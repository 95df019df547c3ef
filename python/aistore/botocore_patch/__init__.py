"""Extensions of other clients."""
